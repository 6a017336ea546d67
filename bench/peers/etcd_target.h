#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "adapters/loop/cq_loop.h"
#include "base/random.h"
#include "client/unary_call.h"
#include "etcd.grpc.pb.h"
#include "load/target.h"

namespace annulus::peers {

struct EtcdOptions {
  std::vector<std::string> endpoints;
  int connections = 1;        // To each endpoint.
  bool serializable = false;  // Reads that may be behind; else linearizable ones.
  size_t value_bytes = 100;
  std::chrono::seconds timeout{10};
};

// An etcd cluster, over its own gRPC: each operation one call, to the endpoints in turn.
class EtcdTarget final : public load::Target {
 public:
  EtcdTarget(CqLoop* loop, const EtcdOptions& options);
  ~EtcdTarget() override;

  // False where one of the endpoints takes no connection within the timeout.
  bool Connect();

  void Read(uint64_t key, Done done) override;
  void Write(uint64_t key, Done done) override;
  void Scan(uint64_t key, Done done) override;

 private:
  etcdserverpb::KV::Stub* NextStub();

  CqLoop* const loop_;
  Call::Set calls_;
  const EtcdOptions options_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::vector<std::unique_ptr<etcdserverpb::KV::Stub>> stubs_;
  size_t next_ = 0;
  Random random_{1};
};

}  // namespace annulus::peers
