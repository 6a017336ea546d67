#pragma once

#include "absl/container/flat_hash_set.h"
#include "adapters/grpc/server_call.h"
#include "adapters/grpc/unparsed_service.h"
#include "annulus/kv/v1/kv.grpc.pb.h"

namespace annulus {

// KVStore.Pipeline: starts operations as they arrive, and sends what has ended in a turn in one
// message. A stream that has too much under way, or whose client does not take its answers, is not
// read, and starts no more of what was read.
class PipelineMethod {
 public:
  PipelineMethod(DoorContext* door, UnparsedService<kv::v1::KVStore::AsyncService>* service)
      : door_(door), service_(service) {}
  ~PipelineMethod();

  void Accept(int posted) {
    for (int i = 0; i < posted; ++i) Post();
  }

 private:
  class Stream;
  class Held;

  void Post();

  DoorContext* door_;
  UnparsedService<kv::v1::KVStore::AsyncService>* service_;
  absl::flat_hash_set<Stream*> streams_;
};

}  // namespace annulus
