#pragma once

#include <string>

namespace annulus::peers {

// Servers of KVStore that store nothing: an answer has what an answer of Annulus would have, at the
// size that it would have. They are what gRPC itself costs. Each runs until SIGTERM.

// Put, Get, and Pipeline, on one thread that serves a completion queue.
int ServeOnQueue(const std::string& address);
// Put and Get, with gRPC's callbacks and its own threads.
int ServeWithCallbacks(const std::string& address);

}  // namespace annulus::peers
