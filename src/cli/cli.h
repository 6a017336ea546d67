#pragma once

#include <functional>

namespace annulus::cli {

struct ServeSettings;

// Runs a node or coordinator until it is told to end; returns the process's exit code.
using ServeFunction = std::function<int(const ServeSettings&)>;

// The whole program. `serve` stands behind a function so that the command line links neither the
// store nor the server.
int Main(int argc, char** argv, ServeFunction serve);

}  // namespace annulus::cli
