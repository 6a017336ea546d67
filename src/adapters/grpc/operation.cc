#include "adapters/grpc/operation.h"

#include <utility>

#include "adapters/grpc/kv_codec.h"
#include "base/overloaded.h"

namespace annulus {
namespace {

namespace pb = kv::v1;

// What an answer takes beside its strings: fields, tags and lengths.
constexpr size_t kAnswerBytes = 96;
constexpr size_t kSiblingBytes = 48;
constexpr size_t kHopBytes = 48;

size_t SizeOf(const std::optional<Explanation>& explanation) {
  if (!explanation.has_value()) return 0;
  size_t bytes = kAnswerBytes + explanation->coordinator.size();
  for (const Hop& hop : explanation->hops) bytes += kHopBytes + hop.name.size() + hop.answer.size();
  return bytes;
}

template <class Answer>
std::variant<absl::Status, WriteAnswer, GetAnswer> ResultOf(absl::StatusOr<Answer> answer) {
  if (!answer.ok()) return answer.status();
  return *std::move(answer);
}

// The request is in `running` already: this frame stays small.
template <class Answer>
Task<OperationAnswer> Observed(DoorContext* door, PublicOp op,
                               Task<absl::StatusOr<Answer>> running) {
  const Instant arrived = door->loop->Now();
  if (door->observer != nullptr) door->observer->OnStart(op);
  absl::StatusOr<Answer> answer = co_await running;
  if (door->observer != nullptr) {
    door->observer->OnEnd(op, answer.status(), door->loop->Now() - arrived, {});
  }
  co_return OperationAnswer{op, ResultOf(std::move(answer))};
}

Task<absl::StatusOr<GetAnswer>> Refuse(absl::Status status) { co_return status; }

Task<OperationAnswer> RunWrite(DoorContext* door, PublicOp op, absl::StatusOr<WriteRequest> write,
                               Instant deadline) {
  if (!write.ok()) return Observed(door, op, Refuse(write.status()));
  return Observed(door, op, door->node->Write(*std::move(write), deadline));
}

}  // namespace

PublicOp OpOf(const pb::Operation& operation) {
  switch (operation.operation_case()) {
    case pb::Operation::kPut:
      return PublicOp::kPut;
    case pb::Operation::kDelete:
      return PublicOp::kDelete;
    case pb::Operation::kGet:
    case pb::Operation::OPERATION_NOT_SET:
      break;
  }
  return PublicOp::kGet;
}

Task<OperationAnswer> RunOperation(DoorContext* door, pb::Operation* operation, Instant deadline) {
  switch (operation->operation_case()) {
    case pb::Operation::kPut:
      return RunWrite(door, PublicOp::kPut, TakePut(operation->mutable_put()), deadline);
    case pb::Operation::kDelete:
      return RunWrite(door, PublicOp::kDelete, TakeDelete(operation->mutable_delete_()), deadline);
    case pb::Operation::kGet: {
      absl::StatusOr<GetRequest> get = TakeGet(operation->mutable_get());
      if (!get.ok()) return Observed(door, PublicOp::kGet, Refuse(get.status()));
      return Observed(door, PublicOp::kGet, door->node->Get(*std::move(get), deadline));
    }
    case pb::Operation::OPERATION_NOT_SET:
      break;
  }
  return Observed(door, PublicOp::kGet,
                  Refuse(absl::InvalidArgumentError("an operation is none of put, get, delete")));
}

size_t SizeOf(const OperationAnswer& answer) {
  return kAnswerBytes +
         std::visit(
             Overloaded{
                 [](const absl::Status& error) { return error.message().size() + kAnswerBytes; },
                 [](const WriteAnswer& write) {
                   return write.context.size() + SizeOf(write.explanation);
                 },
                 [](const GetAnswer& get) {
                   size_t bytes = get.context.size() + SizeOf(get.explanation);
                   for (const ShownSibling& sibling : get.siblings) {
                     bytes += kSiblingBytes + sibling.value.size();
                   }
                   return bytes;
                 },
             },
             answer.result);
}

void Fill(OperationAnswer answer, pb::OperationResult* out) {
  std::visit(Overloaded{
                 [&](const absl::Status& error) { FillError(error, out->mutable_error()); },
                 [&](WriteAnswer& write) {
                   if (answer.op == PublicOp::kDelete) {
                     FillDelete(std::move(write), out->mutable_delete_());
                   } else {
                     FillPut(std::move(write), out->mutable_put());
                   }
                 },
                 [&](GetAnswer& get) { FillGet(std::move(get), out->mutable_get()); },
             },
             answer.result);
}

}  // namespace annulus
