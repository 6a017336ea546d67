#include "adapters/grpc/kv_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters/grpc/kv_codec.h"
#include "adapters/grpc/operation.h"
#include "task/mailbox.h"

namespace annulus {
namespace {

namespace pb = kv::v1;

// Calls that wait for clients, by method.
constexpr int kPostedSingles = 64;
constexpr int kPostedOthers = 8;

// Operations of one batch that run at a time.
constexpr int kBatchConcurrency = 64;
// A stock client takes answers of up to 4 MiB.
constexpr size_t kBatchAnswerBytesMax = 3840 << 10;

Task<void> RunBatched(DoorContext* door, pb::Operation* operation, Instant deadline,
                      pb::OperationResult* result, Mailbox<bool>::Sender ended) {
  co_await RunOperation(door, operation, deadline, result);
  ended.Deliver(true);
}

// Reads whose values no longer fit into one answer are told to come alone. Writes always fit.
void FitAnswer(pb::BatchResponse* response) {
  size_t bytes = 0;
  for (pb::OperationResult& result : *response->mutable_results()) {
    const size_t size = result.ByteSizeLong() + 8;
    if (result.has_get() && bytes + size > kBatchAnswerBytesMax) {
      FillError(WithDetails(absl::ResourceExhaustedError(
                                "the answers of this batch are too large together: get this item "
                                "in a smaller batch or alone"),
                            {.reason = "BATCH_ANSWER_TOO_LARGE"}),
                result.mutable_error());
    } else {
      bytes += size;
    }
  }
}

}  // namespace

KvService::KvService(DoorContext* door)
    : door_(door),
      put_(
          door, PublicOp::kPut, /*is_write=*/true,
          [this](auto... args) { service_.RequestPut(args...); },
          [this](PutMethod::Call* call) { return Put(call); }),
      get_(
          door, PublicOp::kGet, /*is_write=*/false,
          [this](auto... args) { service_.RequestGet(args...); },
          [this](GetMethod::Call* call) { return Get(call); }),
      delete_(
          door, PublicOp::kDelete, /*is_write=*/true,
          [this](auto... args) { service_.RequestDelete(args...); },
          [this](DeleteMethod::Call* call) { return Delete(call); }),
      batch_(
          door, PublicOp::kBatch, /*is_write=*/true,
          [this](auto... args) { service_.RequestBatch(args...); },
          [this](BatchMethod::Call* call) { return Batch(call); }),
      pipeline_(door, &service_),
      scan_(door, &service_) {}

void KvService::Accept() {
  put_.Accept(kPostedSingles);
  get_.Accept(kPostedSingles);
  delete_.Accept(kPostedSingles);
  batch_.Accept(kPostedOthers);
  pipeline_.Accept(kPostedOthers);
  scan_.Accept(kPostedOthers);
}

Task<absl::Status> KvService::Put(PutMethod::Call* call) {
  absl::StatusOr<WriteRequest> request = TakePut(&call->request);
  if (!request.ok()) co_return request.status();
  call->request_id = request->request_id;
  absl::StatusOr<WriteAnswer> answer =
      co_await door_->node->Write(*std::move(request), call->deadline);
  if (answer.ok()) FillPut(*std::move(answer), &call->response);
  co_return answer.status();
}

Task<absl::Status> KvService::Get(GetMethod::Call* call) {
  absl::StatusOr<GetRequest> request = TakeGet(&call->request);
  if (!request.ok()) co_return request.status();
  absl::StatusOr<GetAnswer> answer = co_await door_->node->Get(*std::move(request), call->deadline);
  if (answer.ok()) FillGet(*std::move(answer), &call->response);
  co_return answer.status();
}

Task<absl::Status> KvService::Delete(DeleteMethod::Call* call) {
  absl::StatusOr<WriteRequest> request = TakeDelete(&call->request);
  if (!request.ok()) co_return request.status();
  call->request_id = request->request_id;
  absl::StatusOr<WriteAnswer> answer =
      co_await door_->node->Write(*std::move(request), call->deadline);
  if (answer.ok()) FillDelete(*std::move(answer), &call->response);
  co_return answer.status();
}

Task<absl::Status> KvService::Batch(BatchMethod::Call* call) {
  const int count = call->request.operations_size();
  const size_t count_max = door_->node->options().limits.batch_operations_max;
  if (count == 0 || static_cast<size_t>(count) > count_max) {
    co_return WithDetails(absl::InvalidArgumentError(absl::StrCat(
                              "a batch of ", count, " operations: give 1 to ", count_max)),
                          {.reason = "INVALID_ARGUMENT", .outcome = Outcome::kNotApplied});
  }
  call->response.mutable_results()->Reserve(count);
  for (int i = 0; i < count; ++i) call->response.add_results();

  Mailbox<bool> ended(door_->loop);
  int next = 0;
  int running = 0;
  while (next < count || running > 0) {
    for (; next < count && running < kBatchConcurrency; ++next, ++running) {
      door_->node->Spawn(RunBatched(door_, call->request.mutable_operations(next), call->deadline,
                                    call->response.mutable_results(next), ended.sender()));
    }
    co_await ended.Next();
    --running;
  }
  FitAnswer(&call->response);
  co_return absl::OkStatus();
}

}  // namespace annulus
