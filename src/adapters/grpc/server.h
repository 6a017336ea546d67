#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "adapters/loop/cq_loop.h"

namespace grpc {
class Service;
}

namespace annulus {

// One port. Fixed when it is opened.
struct ServerOptions {
  std::string address;  // host:port
  std::string setting;  // The setting that holds the address, for messages.

  size_t message_bytes_max = 2 << 20;
  size_t metadata_bytes_max = 8 << 10;
  int streams_per_connection_max = 256;
  Duration handshake_timeout = 5s;
  // Probes of a silent connection, and how often the other side may probe us.
  Duration keepalive_time = 30s;
  Duration keepalive_timeout = 10s;
  Duration probe_interval_min = 5s;
};
// The public port, and the one for peers, who send larger messages and probe more often.
ServerOptions PublicServerOptions(std::string address);
ServerOptions PeerServerOptions(std::string address);

// A gRPC server on the loop's queue. gRPC's own builder gives each server a queue of its own; this
// one lets the two servers of a process share the loop's, so that one thread serves both.
//
// REQUIRES: used on the loop's thread (but Start, which may also be called before the loop runs).
class GrpcServer {
 public:
  // Binds and listens. Calls wait until the services post their handlers. The services outlive the
  // server. FAILED_PRECONDITION, naming the setting, where the port cannot be had; INVALID_ARGUMENT
  // where the address is none.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(
      CqLoop* loop, const ServerOptions& options, const std::vector<grpc::Service*>& services);

  // REQUIRES: never started to shut down, or Shutdown has called back.
  ~GrpcServer();

  // The bound port; the one chosen by the system where the address says port 0.
  int port() const { return port_; }

  // Takes no more connections or calls, waits up to `grace` for those under way, then cancels them.
  // `done` runs on the loop when all have ended: their handlers must finish them. Once.
  void Shutdown(Duration grace, Job done);

 private:
  class SharedQueueServer;
  GrpcServer(CqLoop* loop, std::unique_ptr<SharedQueueServer> server, int port);

  CqLoop* loop_;
  std::unique_ptr<SharedQueueServer> server_;
  int port_;
  std::thread closer_;
};

}  // namespace annulus
