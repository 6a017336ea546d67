#include "adapters/grpc/scan_service.h"

#include <grpcpp/support/async_stream.h>

#include <optional>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "adapters/grpc/kv_codec.h"
#include "adapters/grpc/status_details.h"
#include "base/check.h"
#include "task/await.h"

namespace annulus {

namespace pb = kv::v1;

namespace {
constexpr int kScanMethod = 5;  // Its place in the proto.
}  // namespace

class ScanMethod::Call {
 public:
  explicit Call(ScanMethod* method) : method_(method) {}

  pb::ScanRequest request;
  pb::ScanResponse response;
  Instant arrived;
  Instant deadline;
  bool flow_runs = false;

  void Post() {
    grpc::ServerCompletionQueue* queue = method_->door_->loop->queue();
    method_->service_->RequestServerStream(kScanMethod, &context_, &unparsed_, &writer_, queue,
                                           queue, on_accepted_.tag());
  }

  // Sends `response`; `done` hears whether the stream still stands.
  void Write(absl::AnyInvocable<void(bool)> done) {
    writing_ = true;
    write_done_ = std::move(done);
    writer_.Write(response, on_written_.tag());
  }

  void Finish(const absl::Status& status) {
    ending_ = true;
    status_ = ToGrpcStatus(status);
    if (DoorContext* door = method_->door_; door->observer != nullptr) {
      door->observer->OnEnd(PublicOp::kScan, status, door->loop->Now() - arrived, {});
    }
    FinishWhenWritten();
  }
  bool ending() const { return ending_; }

  void DeleteIfDone() {
    if (!finished_ || flow_runs) return;
    method_->calls_.erase(this);
    delete this;
  }

 private:
  void OnAccepted(bool ok);

  void OnWritten(bool ok) {
    writing_ = false;
    // The flow may go on at once, and write again.
    if (auto done = std::exchange(write_done_, nullptr); done) done(ok);
    FinishWhenWritten();
  }

  void FinishWhenWritten() {
    if (!ending_ || writing_ || finishing_) return;
    finishing_ = true;
    writer_.Finish(status_, on_finished_.tag());
  }

  void OnFinished(bool) {
    finished_ = true;
    DeleteIfDone();
  }

  ScanMethod* method_;
  grpc::ServerContext context_;
  grpc::ByteBuffer unparsed_;
  grpc::ServerAsyncWriter<pb::ScanResponse> writer_{&context_};
  absl::AnyInvocable<void(bool)> write_done_;
  grpc::Status status_;
  bool writing_ = false;
  bool ending_ = false;
  bool finishing_ = false;
  bool finished_ = false;
  MemberTag<Call, &Call::OnAccepted> on_accepted_{this};
  MemberTag<Call, &Call::OnWritten> on_written_{this};
  MemberTag<Call, &Call::OnFinished> on_finished_{this};
};

// Lives in the flow's frame: ends the call even where the flow does not come to its end.
class ScanMethod::Held {
 public:
  explicit Held(Call* call) : call_(call) { call_->flow_runs = true; }
  Held(Held&& other) noexcept : call_(std::exchange(other.call_, nullptr)) {}
  Held& operator=(Held&&) = delete;
  ~Held() {
    if (call_ == nullptr) return;
    if (!call_->ending()) call_->Finish(NodeWentAway(/*is_write=*/false));
    call_->flow_runs = false;
    call_->DeleteIfDone();
  }
  Call* call() const { return call_; }

 private:
  Call* call_;
};

ScanMethod::~ScanMethod() { ANNULUS_CHECK(calls_.empty()); }

void ScanMethod::Post() {
  auto* call = new Call(this);
  calls_.insert(call);
  call->Post();
}

void ScanMethod::Call::OnAccepted(bool ok) {
  if (!ok) {  // The server is shut down.
    method_->calls_.erase(this);
    delete this;
    return;
  }
  method_->Post();
  DoorContext* door = method_->door_;
  arrived = door->loop->Now();
  deadline = DeadlineOf(context_);
  if (door->observer != nullptr) door->observer->OnStart(PublicOp::kScan);
  if (absl::Status parsed = Parse(&unparsed_, &request); !parsed.ok()) {
    Finish(parsed);
    return;
  }
  if (door->node == nullptr) {
    Finish(NoNode());
    return;
  }
  door->node->Spawn(Run(method_, Held(this)));
}

Task<void> ScanMethod::Run(ScanMethod* method, Held held) {
  const absl::Status status = co_await RunPages(method->door_, held.call());
  held.call()->Finish(status);
}

Task<absl::Status> ScanMethod::RunPages(DoorContext* door, Call* call) {
  absl::StatusOr<ScanRequest> request = TakeScan(&call->request);
  if (!request.ok()) co_return request.status();
  const bool limited = request->limit > 0;
  for (;;) {
    absl::StatusOr<ScanPage> page = co_await door->node->Scan(*request, call->deadline);
    if (!page.ok()) co_return page.status();

    const uint64_t items = page->items.size();
    request->page_token = page->page_token;
    const bool at_limit = limited && items >= request->limit;
    if (limited && !at_limit) request->limit -= items;
    const bool last = at_limit || request->page_token.empty();
    // A page may be empty between two that are not; only the last one must be told of then.
    if (items > 0 || last) {
      call->response.Clear();
      FillScan(*std::move(page), &call->response);
      auto write = [call](auto done) { call->Write(std::move(done)); };
      const bool stands = co_await Await<bool>(write);
      if (!stands) co_return absl::CancelledError("the client left");
    }
    if (last) co_return absl::OkStatus();
  }
}

}  // namespace annulus
