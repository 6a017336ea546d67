#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.h"

namespace annulus {

// How long to wait for a peer before its silence means something. One that has much to do answers
// late; to ask another as well makes more to do, and so makes all of them later. Hence half as long
// again as the latest answer took of late, within bounds; what it took fades with time.
class Patience {
 public:
  static constexpr Duration kMost = 1s;

  explicit Patience(Duration least) : least_(least) {}

  void Answered(Duration took, Instant now) {
    latest_ = std::max(std::min(took, kMost), Latest(now));
    at_ = now;
  }
  Duration At(Instant now) const {
    return std::clamp(Latest(now) + Latest(now) / 2, least_, std::max(least_, kMost));
  }

 private:
  // It halves in each second.
  Duration Latest(Instant now) const {
    if (latest_ == Duration(0)) return latest_;
    const int64_t seconds = (now - at_) / 1s;
    if (seconds >= 16) return Duration(0);
    // A straight line from one power to the next: pow() is not the same everywhere.
    const Duration whole = latest_ / (int64_t{1} << seconds);
    const int64_t parts = ((now - at_) % 1s) / 1ms;
    return whole - whole * parts / 2000;
  }

  Duration least_;
  Duration latest_{0};
  Instant at_;
};

}  // namespace annulus
