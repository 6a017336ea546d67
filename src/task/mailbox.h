#pragma once

#include <coroutine>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "task/loop.h"

namespace annulus {

// Where one flow waits for values that others deliver: replies, timeouts, signals. Senders outlive
// the box or not, as they like: what is delivered after it is gone, is dropped.
//
//   Mailbox<Reply> replies(loop);
//   link->Call(request, deadline, [to = replies.sender()](Reply r) { to.Deliver(std::move(r)); });
//   std::optional<Reply> reply = co_await replies.Next(deadline);   // nullopt: the deadline passed
template <class T>
class Mailbox {
  struct State {
    explicit State(Loop* loop) : loop(loop) {}
    Loop* loop;
    // Of these the first `taken` are gone. Rarely more than one waits: a deque would allocate for
    // each box.
    absl::InlinedVector<T, 1> values;
    size_t taken = 0;
    std::coroutine_handle<> waiter;
    Loop::TimerId timer = 0;

    void Wake() { std::exchange(waiter, nullptr).resume(); }
    // REQUIRES: there is one.
    T Take() {
      T value = std::move(values[taken++]);
      if (taken == values.size()) {
        values.clear();
        taken = 0;
      } else if (taken >= 64 && taken * 2 >= values.size()) {
        values.erase(values.begin(), values.begin() + static_cast<ptrdiff_t>(taken));
        taken = 0;
      }
      return value;
    }
  };

 public:
  class Sender {
   public:
    // Resumes the waiting flow, if it waits, before it returns. A flow that lives in a TaskGroup of
    // the waiting one posts its delivery instead: the waiting flow may end, and take the group
    // along.
    void Deliver(T value) const {
      std::shared_ptr<State> state = state_.lock();
      if (state == nullptr) return;
      state->values.push_back(std::move(value));
      if (state->waiter) state->Wake();
    }

   private:
    friend class Mailbox;
    explicit Sender(std::weak_ptr<State> state) : state_(std::move(state)) {}
    std::weak_ptr<State> state_;
  };

  explicit Mailbox(Loop* loop) : state_(std::make_shared<State>(loop)) {}
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  ~Mailbox() {
    if (state_->timer != 0) state_->loop->Cancel(state_->timer);
  }

  Sender sender() const { return Sender(state_); }

  class Awaiter {
   public:
    bool await_ready() const { return !state_->values.empty() || deadline_ <= state_->loop->Now(); }
    void await_suspend(std::coroutine_handle<> waiter) {
      State* state = state_;
      state->waiter = waiter;
      if (deadline_ != kForever) {
        state->timer = state->loop->PostAt(deadline_, [state] {
          state->timer = 0;
          if (state->waiter) state->Wake();
        });
      }
    }
    std::optional<T> await_resume() {
      if (state_->timer != 0) {
        state_->loop->Cancel(state_->timer);
        state_->timer = 0;
      }
      if (state_->values.empty()) return std::nullopt;
      return state_->Take();
    }

   private:
    friend class Mailbox;
    Awaiter(State* state, Instant deadline) : state_(state), deadline_(deadline) {}
    State* state_;
    Instant deadline_;
  };

  // The next value, or nullopt once the deadline has passed with none. One waiter at a time.
  Awaiter Next(Instant deadline = kForever) { return Awaiter(state_.get(), deadline); }

 private:
  std::shared_ptr<State> state_;
};

}  // namespace annulus
