#pragma once

#include "absl/status/statusor.h"
#include "annulus/kv/v1/kv.pb.h"
#include "node/api.h"

namespace annulus {

// annulus.kv.v1 <-> node/api.h. Requests are taken apart: byte fields are moved. An empty bucket
// becomes "default"; an enum value that this version does not know is INVALID_ARGUMENT. Everything
// else is judged by the node.

absl::StatusOr<WriteRequest> TakePut(kv::v1::PutRequest* request);
absl::StatusOr<WriteRequest> TakeDelete(kv::v1::DeleteRequest* request);
absl::StatusOr<GetRequest> TakeGet(kv::v1::GetRequest* request);
absl::StatusOr<ScanRequest> TakeScan(kv::v1::ScanRequest* request);

void FillPut(WriteAnswer answer, kv::v1::PutResponse* out);
void FillDelete(WriteAnswer answer, kv::v1::DeleteResponse* out);
void FillGet(GetAnswer answer, kv::v1::GetResponse* out);
void FillScan(ScanPage page, kv::v1::ScanResponse* out);

// One failed operation of a batch or a pipeline, with the code that the RPC alone would have.
void FillError(const absl::Status& status, kv::v1::OperationError* out);

// What an empty bucket means, here and in admin.proto.
inline constexpr char kDefaultBucket[] = "default";

}  // namespace annulus
