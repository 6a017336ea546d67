#include "adapters/grpc/kv_service.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "adapters/grpc/kv_codec.h"
#include "adapters/grpc/operation.h"
#include "task/mailbox.h"

namespace annulus {
namespace {

namespace pb = kv::v1;

// In the order of the proto.
enum Method { kPut, kGet, kDelete, kBatch };

// Calls that wait for clients, by method. Few, since each tag that a queue returns is looked for
// among all that are posted (Debian's gRPC has its assertions); what finds none posted waits inside
// gRPC until the next is, which is at once.
constexpr int kPostedSingles = 16;
constexpr int kPostedOthers = 2;

// Operations of one batch that run at a time, and gets among them.
constexpr int kBatchConcurrency = 64;
constexpr int kBatchGetsMax = 32;
// A stock client takes answers of up to 4 MiB.
constexpr size_t kBatchAnswerBytesMax = 3840 << 10;
// What a get is taken to bring before one of the batch has ended.
constexpr size_t kGetBytesGuess = 512 << 10;

Task<void> RunBatched(DoorContext* door, pb::Operation* operation, Instant deadline,
                      pb::OperationResult* result, int index, Mailbox<int>::Sender ended) {
  OperationAnswer answer = co_await RunOperation(door, operation, deadline);
  Fill(std::move(answer), result);
  ended.Deliver(index);
}

void FillTooLarge(pb::OperationResult* result) {
  FillError(WithDetails(absl::ResourceExhaustedError(
                            "the answers of this batch are too large together: get this item in a "
                            "smaller batch or alone"),
                        {.reason = "BATCH_ANSWER_TOO_LARGE"}),
            result->mutable_error());
}

// Keeps the answer of a batch, and what its gets hold at a time, within one message: gets start
// while those that run are expected to fit, and none does after one that did not. Writes always
// fit.
class BatchRoom {
 public:
  bool full() const { return full_; }
  bool MayStartGet() const {
    return gets_ == 0 ||
           (gets_ < kBatchGetsMax && bytes_ + (gets_ + 1) * Guess() <= kBatchAnswerBytesMax);
  }
  void OnGetStarted() { ++gets_; }

  // Replaces the answer of a get that does not fit.
  void OnEnded(bool is_get, pb::OperationResult* result) {
    size_t size = result->ByteSizeLong() + 8;
    if (is_get) {
      --gets_;
      largest_get_ = std::max(largest_get_, size);
      if (bytes_ + size > kBatchAnswerBytesMax) {
        full_ = true;
        FillTooLarge(result);
        size = result->ByteSizeLong() + 8;
      }
    }
    bytes_ += size;
  }

 private:
  size_t Guess() const { return largest_get_ > 0 ? largest_get_ : kGetBytesGuess; }

  size_t bytes_ = 0;  // Of what has ended.
  size_t largest_get_ = 0;
  int gets_ = 0;  // That run.
  bool full_ = false;
};

}  // namespace

KvService::KvService(DoorContext* door)
    : door_(door),
      put_(
          door, PublicOp::kPut, /*is_write=*/true,
          [this](auto... args) { service_.RequestUnary(kPut, args...); },
          [this](PutMethod::Call* call) { return Put(call); }),
      get_(
          door, PublicOp::kGet, /*is_write=*/false,
          [this](auto... args) { service_.RequestUnary(kGet, args...); },
          [this](GetMethod::Call* call) { return Get(call); }),
      delete_(
          door, PublicOp::kDelete, /*is_write=*/true,
          [this](auto... args) { service_.RequestUnary(kDelete, args...); },
          [this](DeleteMethod::Call* call) { return Delete(call); }),
      batch_(
          door, PublicOp::kBatch, /*is_write=*/true,
          [this](auto... args) { service_.RequestUnary(kBatch, args...); },
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

  Mailbox<int> ended(door_->loop);
  BatchRoom room;
  int next = 0;
  int running = 0;
  std::vector<bool> is_get(count);  // Operations are taken apart as they run.
  for (int i = 0; i < count; ++i) is_get[i] = call->request.operations(i).has_get();
  for (;;) {
    for (; next < count && running < kBatchConcurrency; ++next) {
      if (is_get[next]) {
        if (room.full()) {
          FillTooLarge(call->response.mutable_results(next));
          continue;
        }
        if (!room.MayStartGet()) break;
        room.OnGetStarted();
      }
      ++running;
      door_->node->Spawn(RunBatched(door_, call->request.mutable_operations(next), call->deadline,
                                    call->response.mutable_results(next), next, ended.sender()));
    }
    if (running == 0) break;
    std::optional<int> index = co_await ended.Next();
    --running;
    room.OnEnded(is_get[*index], call->response.mutable_results(*index));
  }
  co_return absl::OkStatus();
}

}  // namespace annulus
