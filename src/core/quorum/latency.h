#pragma once

#include <array>
#include <cstdint>
#include <map>

#include "base/strong_id.h"
#include "base/time.h"
#include "core/quorum/retry_budget.h"

namespace annulus {

// Which peers answer far more slowly than the others do: they are asked last, although they are up.
// Smoothed as TCP does its round trips (Jacobson 1988), over requests that wait for no disk.
class PeerLatencies {
 public:
  void Answered(NodeId peer, Duration elapsed);
  // Slower than 50 ms, and four times slower than the fastest peer.
  bool IsSlow(NodeId peer) const;

 private:
  std::map<NodeId, Duration> smoothed_;
};

// When a read that was not answered is also sent elsewhere, before anybody is taken for silent:
// after twice the 99th percentile of what reads took of late ("The Tail at Scale", Dean and Barroso
// 2013), and for at most one read in twenty. Reads that were hedged are no samples: they would
// lower what they are measured by.
class HedgeBudget {
 public:
  explicit HedgeBudget(Duration delay_max) : delay_max_(delay_max) {}

  // A read ended that had not been hedged.
  void Ended(Duration elapsed);
  // From 2 ms to delay_max.
  Duration Delay() const;
  // Whether one more read may be hedged; if so, it counts.
  bool Take() { return tokens_.Take(); }

 private:
  static constexpr int kBuckets = 40;

  Duration delay_max_;
  // By the power of two of the microseconds, in quarters; halved now and then, so that old samples
  // fade.
  std::array<uint32_t, kBuckets * 4> samples_{};
  uint32_t count_ = 0;
  Duration percentile_{0};
  RetryBudget tokens_{/*successes_per_token=*/20, /*tokens_at_first=*/10};
};

}  // namespace annulus
