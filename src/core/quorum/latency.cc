#include "core/quorum/latency.h"

#include <algorithm>
#include <bit>

namespace annulus {
namespace {

constexpr Duration kSlowMin = 50ms;
constexpr int kSlowFactor = 4;

constexpr Duration kDelayMin = 2ms;
constexpr uint32_t kSamplesMax = 2048;
constexpr uint32_t kSamplesBetween = 64;  // Percentiles are computed anew so often.

// Four buckets to each power of two.
size_t BucketOf(uint64_t micros, size_t buckets) {
  if (micros < 4) return micros;
  const int exponent = std::bit_width(micros) - 1;
  const size_t quarter = (micros >> (exponent - 2)) & 3;
  return std::min(static_cast<size_t>(exponent) * 4 + quarter, buckets - 1);
}

// The upper end of a bucket.
Duration EndOf(size_t bucket) {
  if (bucket < 8) return std::chrono::microseconds(bucket + 1);
  const uint64_t exponent = bucket / 4;
  const uint64_t quarter = bucket % 4;
  return std::chrono::microseconds((uint64_t{5} + quarter) << (exponent - 2));
}

}  // namespace

void PeerLatencies::Answered(NodeId peer, Duration elapsed) {
  auto [slot, is_new] = smoothed_.try_emplace(peer, elapsed);
  if (!is_new) slot->second += (elapsed - slot->second) / 4;
}

bool PeerLatencies::IsSlow(NodeId peer) const {
  auto found = smoothed_.find(peer);
  if (found == smoothed_.end() || found->second < kSlowMin) return false;
  Duration fastest = found->second;
  for (const auto& [other, smoothed] : smoothed_) fastest = std::min(fastest, smoothed);
  return found->second > kSlowFactor * fastest;
}

void HedgeBudget::Ended(Duration elapsed) {
  tokens_.Succeeded();
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(elapsed).count();
  ++samples_[BucketOf(static_cast<uint64_t>(std::max<int64_t>(micros, 0)), samples_.size())];
  ++count_;
  if (count_ % kSamplesBetween != 0) return;
  uint32_t above = 0;
  for (size_t bucket = samples_.size(); bucket-- > 0;) {
    above += samples_[bucket];
    if (above * 100 > count_) {
      percentile_ = EndOf(bucket);
      break;
    }
  }
  if (count_ < kSamplesMax) return;
  count_ = 0;
  for (uint32_t& samples : samples_) count_ += samples /= 2;
}

Duration HedgeBudget::Delay() const {
  // Before there are samples, nothing is known to be late.
  if (percentile_ == Duration(0)) return delay_max_;
  return std::clamp(2 * percentile_, std::min(kDelayMin, delay_max_), delay_max_);
}

}  // namespace annulus
