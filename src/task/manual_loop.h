#pragma once

#include <map>
#include <utility>
#include <vector>

#include "task/loop.h"

namespace annulus {

// A loop for tests of one flow: time stands still until it is moved, and everything that is ready
// runs in the order in which it was posted. One thread.
class ManualLoop : public Loop {
 public:
  Instant Now() const override { return now_; }
  void Post(Job job) override { posted_.push_back(std::move(job)); }
  TimerId PostAt(Instant at, Job job) override {
    const TimerId id = ++last_timer_;
    timers_.emplace(std::pair(at, id), std::move(job));
    return id;
  }
  void Cancel(TimerId timer) override {
    for (auto it = timers_.begin(); it != timers_.end(); ++it) {
      if (it->first.second == timer) {
        Job dropped = std::move(it->second);
        timers_.erase(it);
        return;
      }
    }
  }
  void AtTurnEnd(Job job) override { turn_end_.push_back(std::move(job)); }

  // Runs turns until nothing is ready.
  void Run() {
    while (!posted_.empty() || !turn_end_.empty()) {
      std::vector<Job>& ready = posted_.empty() ? turn_end_ : posted_;
      for (Job& job : std::exchange(ready, {})) job();
    }
  }

  // Moves the clock, timer by timer.
  void Advance(Duration by) {
    const Instant until = now_ + by;
    Run();
    while (!timers_.empty() && timers_.begin()->first.first <= until) {
      auto first = timers_.extract(timers_.begin());
      now_ = std::max(now_, first.key().first);
      first.mapped()();
      Run();
    }
    now_ = until;
  }

  size_t timers() const { return timers_.size(); }

 private:
  Instant now_;
  TimerId last_timer_ = 0;
  std::vector<Job> posted_;
  std::vector<Job> turn_end_;
  std::map<std::pair<Instant, TimerId>, Job> timers_;
};

}  // namespace annulus
