#pragma once

#include <coroutine>

#include "task/loop.h"

namespace annulus {

// Waits until the loop's clock has reached `until`.
class SleepUntil {
 public:
  SleepUntil(Loop* loop, Instant until) : loop_(loop), until_(until) {}
  SleepUntil(const SleepUntil&) = delete;
  SleepUntil& operator=(const SleepUntil&) = delete;
  ~SleepUntil() {
    if (timer_ != 0) loop_->Cancel(timer_);
  }

  bool await_ready() const { return until_ <= loop_->Now(); }
  void await_suspend(std::coroutine_handle<> waiter) {
    timer_ = loop_->PostAt(until_, [this, waiter] {
      timer_ = 0;
      waiter.resume();
    });
  }
  void await_resume() {}

 private:
  Loop* loop_;
  Instant until_;
  Loop::TimerId timer_ = 0;
};

inline SleepUntil Sleep(Loop* loop, Duration duration) {
  return SleepUntil(loop, loop->Now() + duration);
}

}  // namespace annulus
