#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "adapters/loop/cq_loop.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace annulus {

// grpc.health.v1.Health for the services of the public port. Our own handler, on the loop: gRPC's
// brings threads. It answers from the moment the server runs, before there is a node.
class HealthService {
 public:
  // `services`: their full names. The whole server, under the empty name, is always known.
  HealthService(CqLoop* loop, std::vector<std::string> services);
  ~HealthService();

  grpc::Service* service() { return &service_; }
  // Takes calls from now on. REQUIRES: the server runs.
  void Accept();

  // NOT_SERVING until first told otherwise. Every Watch hears of a change.
  void SetServing(bool serving);
  // Ends every Watch, which would otherwise keep the server from ending.
  void Stop();

 private:
  class CheckCall;
  class WatchStream;
  using Response = grpc::health::v1::HealthCheckResponse;

  bool Known(const std::string& service) const;

  CqLoop* loop_;
  const std::vector<std::string> services_;
  bool serving_ = false;
  grpc::health::v1::Health::AsyncService service_;
  absl::flat_hash_set<CheckCall*> checks_;
  absl::flat_hash_set<WatchStream*> watches_;
};

}  // namespace annulus
