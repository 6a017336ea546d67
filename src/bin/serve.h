#pragma once

#include "cli/settings.h"

namespace annulus {

// Runs a node or a coordinator until SIGTERM or SIGINT. Returns the exit code: 0 after a clean end,
// 1 where it could not start, with the reason on standard error. A second signal ends the process
// at once. Call it from the main thread, before there are others.
int Serve(const cli::ServeSettings& settings);

}  // namespace annulus
