#pragma once

#include <memory>
#include <utility>

#include "task/loop.h"

namespace annulus {

// Runs jobs later, unless it is gone by then.
class DelayLine {
 public:
  explicit DelayLine(Loop* loop) : loop_(loop) {}

  // At once where there is nothing to wait for, so that messages without a fault keep their order.
  void After(Duration wait, Job job) {
    if (wait <= Duration{0}) {
      job();
    } else {
      At(loop_->Now() + wait, std::move(job));
    }
  }
  void At(Instant at, Job job) {
    loop_->PostAt(at, [alive = std::weak_ptr<bool>(alive_), job = std::move(job)]() mutable {
      if (!alive.expired()) job();
    });
  }

 private:
  Loop* loop_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace annulus
