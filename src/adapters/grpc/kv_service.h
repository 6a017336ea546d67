#pragma once

#include "adapters/grpc/pipeline.h"
#include "adapters/grpc/scan_service.h"
#include "adapters/grpc/unary.h"
#include "annulus/kv/v1/kv.grpc.pb.h"

namespace annulus {

// annulus.kv.v1.KVStore over the flows of a node: translates, and decides nothing.
class KvService {
 public:
  explicit KvService(DoorContext* door);

  grpc::Service* service() { return &service_; }
  // Takes calls from now on. REQUIRES: the server runs.
  void Accept();

 private:
  using PutMethod = UnaryMethod<kv::v1::PutRequest, kv::v1::PutResponse>;
  using GetMethod = UnaryMethod<kv::v1::GetRequest, kv::v1::GetResponse>;
  using DeleteMethod = UnaryMethod<kv::v1::DeleteRequest, kv::v1::DeleteResponse>;
  using BatchMethod = UnaryMethod<kv::v1::BatchRequest, kv::v1::BatchResponse>;

  Task<absl::Status> Put(PutMethod::Call* call);
  Task<absl::Status> Get(GetMethod::Call* call);
  Task<absl::Status> Delete(DeleteMethod::Call* call);
  Task<absl::Status> Batch(BatchMethod::Call* call);

  DoorContext* door_;
  UnparsedService<kv::v1::KVStore::AsyncService> service_;
  PutMethod put_;
  GetMethod get_;
  DeleteMethod delete_;
  BatchMethod batch_;
  PipelineMethod pipeline_;
  ScanMethod scan_;
};

}  // namespace annulus
