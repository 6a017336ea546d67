#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace annulus::load {

// Counts latencies in buckets whose width is at most 1/32 of their value (the idea of
// HdrHistogram), so that quantiles are right to 3 %, and two can be added.
class LatencyHistogram {
 public:
  void Add(uint64_t micros) {
    ++counts_[IndexOf(micros)];
    ++count_;
    if (micros > max_) max_ = micros;
  }
  void Add(const LatencyHistogram& other) {
    for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    count_ += other.count_;
    if (other.max_ > max_) max_ = other.max_;
  }

  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }
  // Microseconds that the share `quantile` of all stayed within; 0 where there are none.
  uint64_t Quantile(double quantile) const {
    uint64_t wanted = static_cast<uint64_t>(quantile * static_cast<double>(count_)) + 1;
    if (wanted > count_) wanted = count_;
    uint64_t seen = 0;
    for (size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen >= wanted && wanted > 0) return UpperBound(i) < max_ ? UpperBound(i) : max_;
    }
    return 0;
  }

 private:
  static constexpr int kSubBits = 5;  // 32 buckets for each power of two.
  static constexpr uint64_t kSub = 1u << kSubBits;

  static size_t IndexOf(uint64_t micros) {
    if (micros < kSub) return micros;
    const int shift = std::bit_width(micros) - kSubBits - 1;
    return static_cast<size_t>(shift) * kSub + (micros >> shift);
  }
  // The largest value that falls into the bucket.
  static uint64_t UpperBound(size_t index) {
    if (index < 2 * kSub) return index;
    const size_t shift = index / kSub - 1;
    return ((index % kSub + kSub + 1) << shift) - 1;
  }

  std::array<uint64_t, (65 - kSubBits) * kSub> counts_{};
  uint64_t count_ = 0;
  uint64_t max_ = 0;
};

}  // namespace annulus::load
