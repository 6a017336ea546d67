#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/async_unary_call.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/any_invocable.h"
#include "adapters/grpc/server_call.h"
#include "adapters/grpc/status_details.h"
#include "adapters/grpc/unparsed_service.h"
#include "base/check.h"
#include "core/error.h"
#include "task/task.h"

namespace annulus {

// One unary RPC of a service: keeps calls posted, runs a flow for each that arrives, and uses the
// finished ones again.
//
//   put_(door, PublicOp::kPut, [this](auto... args) { service_.RequestUnary(kPut, args...); },
//        [this](PutMethod::Call* call) { return Put(call); })
//
// The flow takes call->request apart, fills call->response and returns how it ended; the call
// outlives it. Where the node goes away under the flow, the call ends as UNAVAILABLE.
// REQUIRES: destroyed once the server is shut down and the loop has returned every call.
template <class Request, class Response>
class UnaryMethod {
 public:
  class Call;
  // Posts a call to gRPC: UnparsedService::RequestUnary for the method.
  using Poster = absl::AnyInvocable<void(
      grpc::ServerContext*, grpc::ByteBuffer*, grpc::ServerAsyncResponseWriter<Response>*,
      grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*)>;
  using Flow = absl::AnyInvocable<Task<absl::Status>(Call*)>;

  UnaryMethod(DoorContext* door, PublicOp op, bool is_write, Poster poster, Flow flow)
      : door_(door),
        op_(op),
        is_write_(is_write),
        poster_(std::move(poster)),
        flow_(std::move(flow)) {}
  ~UnaryMethod() { ANNULUS_CHECK(calls_.empty()); }
  UnaryMethod(const UnaryMethod&) = delete;
  UnaryMethod& operator=(const UnaryMethod&) = delete;

  // Keeps so many calls waiting for clients.
  void Accept(int posted) {
    for (int i = 0; i < posted; ++i) PostOne();
  }

  class Call {
   public:
    Request request;
    Response response;
    Instant deadline;
    // 16 bytes where the flow knows them, for the log.
    Bytes request_id;

   private:
    friend class UnaryMethod;
    explicit Call(UnaryMethod* method) : method_(method) {}

    void OnAccepted(bool ok) { method_->OnAccepted(this, ok); }
    void OnFinished(bool) {
      finished_ = true;
      method_->ReleaseIfDone(this);
    }

    UnaryMethod* method_;
    // gRPC lets neither serve twice.
    std::optional<grpc::ServerContext> context_;
    std::optional<grpc::ServerAsyncResponseWriter<Response>> writer_;
    grpc::ByteBuffer unparsed_;
    Instant arrived_;
    size_t message_bytes_ = 0;  // Of request and response.
    bool flow_runs_ = false;
    bool answered_ = false;
    bool finished_ = false;
    MemberTag<Call, &Call::OnAccepted> on_accepted_{this};
    MemberTag<Call, &Call::OnFinished> on_finished_{this};
  };

 private:
  static constexpr size_t kIdleMax = 256;
  // Cleared messages keep their buffers, so a call whose messages were larger is not kept.
  static constexpr size_t kIdleBytesMax = 64 << 10;

  // Lives in the flow's frame: ends the call even where the flow does not come to its end.
  class Held {
   public:
    explicit Held(Call* call) : call_(call) { call_->flow_runs_ = true; }
    Held(Held&& other) noexcept : call_(std::exchange(other.call_, nullptr)) {}
    Held& operator=(Held&&) = delete;
    ~Held() {
      if (call_ == nullptr) return;
      UnaryMethod* method = call_->method_;
      if (!call_->answered_) method->Answer(call_, NodeWentAway(method->is_write_));
      call_->flow_runs_ = false;
      method->ReleaseIfDone(call_);
    }
    Call* call() const { return call_; }

   private:
    Call* call_;
  };

  void PostOne() {
    Call* call;
    if (idle_.empty()) {
      call = new Call(this);
      calls_.insert(call);
    } else {
      call = idle_.back();
      idle_.pop_back();
    }
    call->context_.emplace();
    call->writer_.emplace(&*call->context_);
    poster_(&*call->context_, &call->unparsed_, &*call->writer_, door_->loop->queue(),
            door_->loop->queue(), call->on_accepted_.tag());
  }

  void OnAccepted(Call* call, bool ok) {
    if (!ok) {  // The server is shut down.
      closed_ = true;
      Delete(call);
      for (Call* idle : std::exchange(idle_, {})) Delete(idle);
      return;
    }
    PostOne();
    call->arrived_ = door_->loop->Now();
    call->deadline = DeadlineOf(*call->context_);
    if (door_->observer != nullptr) door_->observer->OnStart(op_);
    call->message_bytes_ = call->unparsed_.Length();
    if (absl::Status parsed = Parse(&call->unparsed_, &call->request); !parsed.ok()) {
      if (is_write_) {
        parsed = WithDetails(std::move(parsed),
                             {.reason = "INVALID_ARGUMENT", .outcome = Outcome::kNotApplied});
      }
      Answer(call, parsed);
      return;
    }
    if (door_->node == nullptr) {
      Answer(call, NoNode());
      return;
    }
    door_->node->Spawn(Run(this, Held(call)));
  }

  static Task<void> Run(UnaryMethod* method, Held held) {
    const absl::Status status = co_await method->flow_(held.call());
    method->Answer(held.call(), status);
  }

  void Answer(Call* call, const absl::Status& status) {
    call->answered_ = true;
    if (status.ok()) {
      call->writer_->Finish(call->response, grpc::Status::OK, call->on_finished_.tag());
      call->message_bytes_ += static_cast<size_t>(call->response.GetCachedSize());
    } else {
      call->writer_->FinishWithError(ToGrpcStatus(status), call->on_finished_.tag());
    }
    if (door_->observer != nullptr) {
      door_->observer->OnEnd(op_, status, door_->loop->Now() - call->arrived_, call->request_id);
    }
  }

  void ReleaseIfDone(Call* call) {
    if (!call->finished_ || call->flow_runs_) return;
    if (closed_ || idle_.size() >= kIdleMax || call->message_bytes_ > kIdleBytesMax) {
      return Delete(call);
    }
    call->writer_.reset();
    call->context_.reset();
    call->request.Clear();
    call->response.Clear();
    call->request_id.clear();
    call->answered_ = false;
    call->finished_ = false;
    idle_.push_back(call);
  }

  void Delete(Call* call) {
    calls_.erase(call);
    delete call;
  }

  DoorContext* door_;
  const PublicOp op_;
  const bool is_write_;
  Poster poster_;
  Flow flow_;
  bool closed_ = false;
  absl::flat_hash_set<Call*> calls_;
  std::vector<Call*> idle_;
};

}  // namespace annulus
