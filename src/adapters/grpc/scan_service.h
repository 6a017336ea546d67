#pragma once

#include "absl/container/flat_hash_set.h"
#include "adapters/grpc/server_call.h"
#include "adapters/grpc/unparsed_service.h"
#include "annulus/kv/v1/kv.grpc.pb.h"
#include "task/task.h"

namespace annulus {

// KVStore.Scan: pulls page after page from the node. The next page is read only when gRPC has taken
// the one before, so that a slow client holds one page here.
class ScanMethod {
 public:
  ScanMethod(DoorContext* door, UnparsedService<kv::v1::KVStore::AsyncService>* service)
      : door_(door), service_(service) {}
  ~ScanMethod();

  void Accept(int posted) {
    for (int i = 0; i < posted; ++i) Post();
  }

 private:
  class Call;
  class Held;

  void Post();
  static Task<void> Run(ScanMethod* method, Held held);
  static Task<absl::Status> RunPages(DoorContext* door, Call* call);

  DoorContext* door_;
  UnparsedService<kv::v1::KVStore::AsyncService>* service_;
  absl::flat_hash_set<Call*> calls_;
};

}  // namespace annulus
