#include "adapters/grpc/operation.h"

#include <utility>

#include "adapters/grpc/kv_codec.h"

namespace annulus {
namespace {

namespace pb = kv::v1;

// Each takes the request of its kind apart, runs it, and fills its part of the result.
Task<absl::Status> RunPut(Node* node, pb::PutRequest* request, Instant deadline,
                          pb::OperationResult* result) {
  absl::StatusOr<WriteRequest> write = TakePut(request);
  if (!write.ok()) co_return write.status();
  absl::StatusOr<WriteAnswer> answer = co_await node->Write(*std::move(write), deadline);
  if (answer.ok()) FillPut(*std::move(answer), result->mutable_put());
  co_return answer.status();
}

Task<absl::Status> RunDelete(Node* node, pb::DeleteRequest* request, Instant deadline,
                             pb::OperationResult* result) {
  absl::StatusOr<WriteRequest> write = TakeDelete(request);
  if (!write.ok()) co_return write.status();
  absl::StatusOr<WriteAnswer> answer = co_await node->Write(*std::move(write), deadline);
  if (answer.ok()) FillDelete(*std::move(answer), result->mutable_delete_());
  co_return answer.status();
}

Task<absl::Status> RunGet(Node* node, pb::GetRequest* request, Instant deadline,
                          pb::OperationResult* result) {
  absl::StatusOr<GetRequest> get = TakeGet(request);
  if (!get.ok()) co_return get.status();
  absl::StatusOr<GetAnswer> answer = co_await node->Get(*std::move(get), deadline);
  if (answer.ok()) FillGet(*std::move(answer), result->mutable_get());
  co_return answer.status();
}

Task<absl::Status> NothingToDo() {
  co_return absl::InvalidArgumentError("an operation is none of put, get, delete");
}

struct Started {
  PublicOp op;
  Task<absl::Status> task;
};

Started Start(Node* node, pb::Operation* operation, Instant deadline, pb::OperationResult* result) {
  switch (operation->operation_case()) {
    case pb::Operation::kPut:
      return {PublicOp::kPut, RunPut(node, operation->mutable_put(), deadline, result)};
    case pb::Operation::kGet:
      return {PublicOp::kGet, RunGet(node, operation->mutable_get(), deadline, result)};
    case pb::Operation::kDelete:
      return {PublicOp::kDelete, RunDelete(node, operation->mutable_delete_(), deadline, result)};
    case pb::Operation::OPERATION_NOT_SET:
      break;
  }
  return {PublicOp::kGet, NothingToDo()};
}

}  // namespace

Task<void> RunOperation(DoorContext* door, pb::Operation* operation, Instant deadline,
                        pb::OperationResult* result) {
  const Instant arrived = door->loop->Now();
  Started started = Start(door->node, operation, deadline, result);
  if (door->observer != nullptr) door->observer->OnStart(started.op);
  const absl::Status status = co_await std::move(started.task);
  if (!status.ok()) FillError(status, result->mutable_error());
  if (door->observer != nullptr) {
    door->observer->OnEnd(started.op, status, door->loop->Now() - arrived, {});
  }
}

void FillAbandoned(bool is_write, pb::OperationResult* result) {
  FillError(NodeWentAway(is_write), result->mutable_error());
}

bool IsWrite(const pb::Operation& operation) {
  return operation.has_put() || operation.has_delete_();
}

}  // namespace annulus
