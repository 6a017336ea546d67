#pragma once

#include <memory>
#include <string>
#include <vector>

#include "adapters/loop/cq_loop.h"

namespace grpc {
class Service;
}

namespace annulus {

// Server reflection, v1 and v1alpha, from the descriptors that are compiled in: what lets a stock
// tool list and call the services without their protos. gRPC 1.51 itself has v1alpha only, and
// answers it on threads of its own.
class ReflectionService {
 public:
  // `services`: the full names to list.
  ReflectionService(CqLoop* loop, std::vector<std::string> services);
  ~ReflectionService();

  // One for each version, to be registered with the server.
  std::vector<grpc::Service*> services();
  // Takes calls from now on. REQUIRES: the server runs.
  void Accept();

 private:
  template <class Version>
  class Impl;
  struct V1;
  struct V1Alpha;
  std::unique_ptr<Impl<V1>> v1_;
  std::unique_ptr<Impl<V1Alpha>> v1alpha_;
};

}  // namespace annulus
