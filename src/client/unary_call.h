#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/async_unary_call.h>

#include <chrono>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/any_invocable.h"
#include "adapters/loop/cq_loop.h"

namespace annulus {

// A call on a loop's queue. It owns itself until gRPC has let go of it, which may be after whoever
// made it is gone. On the loop's thread.
class Call : public CqTag {
 public:
  // Those that are under way; outlives them, or gives each up.
  using Set = absl::flat_hash_set<Call*>;

  Call(Set* calls, std::chrono::milliseconds timeout) : calls_(calls) {
    context_.set_deadline(std::chrono::system_clock::now() + timeout);
    calls_->insert(this);
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  // Cancels it, and nobody hears of its end.
  void GiveUp() {
    calls_ = nullptr;
    context_.TryCancel();
  }
  bool given_up() const { return calls_ == nullptr; }

  void Proceed(bool) override {
    if (calls_ != nullptr) {
      calls_->erase(this);
      Ended();
    }
    delete this;
  }

 protected:
  virtual ~Call() = default;
  // It has not been given up.
  virtual void Ended() = 0;

  grpc::ClientContext context_;
  grpc::Status status_;

 private:
  Set* calls_;  // Null once nobody wants to hear of it.
};

// One question, one answer.
//
//   (new UnaryCall<PutResponse>(&calls, timeout, done))->Start([&](grpc::ClientContext* context) {
//     return stub->PrepareAsyncPut(context, request, queue);
//   });
template <class Response>
class UnaryCall final : public Call {
 public:
  using Done = absl::AnyInvocable<void(const grpc::Status&, Response*)>;

  UnaryCall(Set* calls, std::chrono::milliseconds timeout, Done done)
      : Call(calls, timeout), done_(std::move(done)) {}

  // The request is serialised before it returns.
  template <class Prepare>
  void Start(const Prepare& prepare) {
    reader_ = prepare(&context_);
    reader_->StartCall();
    reader_->Finish(&response_, &status_, tag());
  }

 private:
  void Ended() override { done_(status_, &response_); }

  Done done_;
  Response response_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader_;
};

}  // namespace annulus
