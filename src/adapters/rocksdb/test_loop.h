#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "task/loop.h"

namespace annulus {

// A Loop on real time whose thread is the test's own: it runs while the test waits in RunUntil.
class TestLoop final : public Loop {
 public:
  Instant Now() const override {
    return Instant(
        std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
  }

  void Post(Job job) override {
    {
      std::lock_guard lock(mutex_);
      posted_.push_back(std::move(job));
      ++posts_;
    }
    work_.notify_one();
  }

  TimerId PostAt(Instant at, Job job) override {
    timers_.emplace(std::pair(at, ++last_timer_), std::move(job));
    return last_timer_;
  }

  void Cancel(TimerId timer) override {
    const auto found = std::find_if(timers_.begin(), timers_.end(), [timer](const auto& entry) {
      return entry.first.second == timer;
    });
    if (found != timers_.end()) timers_.erase(found);
  }

  void AtTurnEnd(Job job) override { turn_end_.push_back(std::move(job)); }

  // Runs turns until `until()` holds, which is looked at after each; false after `limit`.
  template <class Until>
  bool RunUntil(Until until, Duration limit = 30s) {
    const Instant deadline = Now() + limit;
    while (true) {
      Turn();
      if (until()) return true;
      if (Now() >= deadline) return false;
      const Instant wake =
          timers_.empty() ? deadline : std::min(deadline, timers_.begin()->first.first);
      std::unique_lock lock(mutex_);
      if (posted_.empty() && turn_end_.empty()) {
        work_.wait_for(lock, std::min<Duration>(wake - Now(), 10ms));
      }
    }
  }

  void Turn() {
    while (RunReady()) {
    }
    for (Job& job : std::exchange(turn_end_, {})) job();
  }

  // How many jobs were ever posted: what other threads woke this one for.
  uint64_t posts() {
    std::lock_guard lock(mutex_);
    return posts_;
  }

 private:
  bool RunReady() {
    std::deque<Job> ready;
    {
      std::lock_guard lock(mutex_);
      ready.swap(posted_);
    }
    while (!timers_.empty() && timers_.begin()->first.first <= Now()) {
      ready.push_back(std::move(timers_.begin()->second));
      timers_.erase(timers_.begin());
    }
    for (Job& job : ready) job();
    return !ready.empty();
  }

  std::mutex mutex_;
  std::condition_variable work_;
  std::deque<Job> posted_;  // Guarded by mutex_.
  uint64_t posts_ = 0;      // Guarded by mutex_.
  std::map<std::pair<Instant, TimerId>, Job> timers_;
  TimerId last_timer_ = 0;
  std::vector<Job> turn_end_;
};

}  // namespace annulus
