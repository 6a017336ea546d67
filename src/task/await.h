#pragma once

#include <coroutine>
#include <memory>
#include <optional>
#include <utility>

#include "absl/functional/any_invocable.h"

namespace annulus {

// Waits for one callback: turns `void Start(AnyInvocable<void(T)> done)` into a value.
//
//   absl::Status status = co_await Await<absl::Status>([&](auto done) {
//     storage->Commit(std::move(batch), std::move(done));
//   });
//
// `done` is called on the loop, at once or later. One that comes after the flow is gone is dropped.
template <class T, class Start>
class Awaited {
  struct State {
    std::optional<T> value;
    std::coroutine_handle<> waiter;
    bool gone = false;
    bool referenced_by_callback = true;
  };

 public:
  explicit Awaited(Start start) : start_(std::move(start)), state_(new State) {}
  Awaited(const Awaited&) = delete;
  Awaited& operator=(const Awaited&) = delete;
  ~Awaited() {
    state_->gone = true;
    state_->waiter = nullptr;
    if (!state_->referenced_by_callback) delete state_;
  }

  bool await_ready() {
    start_(absl::AnyInvocable<void(T)>(Done(state_)));
    return state_->value.has_value();
  }
  void await_suspend(std::coroutine_handle<> waiter) { state_->waiter = waiter; }
  T await_resume() { return *std::move(state_->value); }

 private:
  // Owns the state together with the awaiter: whichever goes last frees it.
  class Done {
   public:
    explicit Done(State* state) : state_(state) {}
    Done(Done&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
    Done& operator=(Done&&) = delete;
    ~Done() {
      if (state_ == nullptr) return;
      state_->referenced_by_callback = false;
      if (state_->gone) delete state_;
    }
    void operator()(T value) {
      if (state_ == nullptr || state_->gone || state_->value.has_value()) return;
      state_->value.emplace(std::move(value));
      if (state_->waiter) std::exchange(state_->waiter, nullptr).resume();
    }

   private:
    State* state_;
  };

  Start start_;
  State* state_;
};

template <class T, class Start>
Awaited<T, Start> Await(Start start) {
  return Awaited<T, Start>(std::move(start));
}

}  // namespace annulus
