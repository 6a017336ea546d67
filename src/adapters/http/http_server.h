#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "task/loop.h"

namespace annulus {

struct HttpOptions {
  std::string address;                  // host:port; port 0: any.
  std::string setting = "listen_http";  // For messages.
  // How long the loop may take to answer a probe before it counts as stuck.
  Duration loop_patience = 2s;
  size_t connections_max = 256;
  size_t header_bytes_max = 8 << 10;
  // A connection that has been silent so long, or that takes so long over one request, is closed.
  Duration idle_timeout = 30s;
};

struct Readiness {
  bool ready = false;
  std::string reason;  // Why not.
};

// GET and HEAD of
//   /livez    200 while the process runs its loop, ready or not; 503 where the loop is stuck
//   /readyz   200 where requests are served, else 503 with the reason
//   /metrics  Prometheus' text format
// Everything else is 404; other methods are 405.
class HttpServer {
 public:
  struct Sources {
    // On the loop's thread.
    std::function<Readiness()> readiness;
    // On the server's thread.
    std::function<std::string()> metrics;
  };

  // Binds, listens, and serves on a thread of its own. FAILED_PRECONDITION, naming the setting,
  // where the port cannot be had; INVALID_ARGUMENT where the address is none.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(Loop* loop, HttpOptions options,
                                                           Sources sources);
  // Stops taking connections and closes those that are open. REQUIRES: the loop still stands (it
  // need not run); jobs that it has not run yet hold nothing of the server that matters.
  ~HttpServer();

  int port() const;

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace annulus
