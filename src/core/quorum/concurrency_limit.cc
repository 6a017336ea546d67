#include "core/quorum/concurrency_limit.h"

#include <algorithm>

#include "base/check.h"

namespace annulus {
namespace {

// A while is as long as the quickest operation of the one before, so that it shows what the last
// change of the limit did, and so long that a few operations end in it.
constexpr Duration kWhileMin = 100ms;
constexpr size_t kServedMin = 8;
// Few come to their end: then the while goes on, up to so long.
constexpr Duration kWhileMax = 1s;
// In one while the limit grows by an eighth, and at most halves.
constexpr size_t kGrowthPart = 8;
constexpr int kSmoothing = 8;

}  // namespace

ConcurrencyLimit::ConcurrencyLimit(Options options) : options_(options), length_(kWhileMin) {
  ANNULUS_CHECK(options_.most >= 1);
  options_.least = std::clamp<size_t>(options_.least, 1, options_.most);
  limit_ = std::clamp(options_.at_first, options_.least, options_.most);
}

Duration ConcurrencyLimit::delay_max() const {
  return std::clamp(2 * unhurried_, options_.delay_least, options_.delay_most);
}

void ConcurrencyLimit::Began(size_t under_way, Instant now) {
  Look(now);
  peak_ = std::max(peak_, under_way);
}

void ConcurrencyLimit::Served(size_t under_way, Duration took, Instant now) {
  peak_ = std::max(peak_, under_way);
  quickest_ = served_ == 0 ? took : std::min(quickest_, took);
  ++served_;
  Look(now);
}

void ConcurrencyLimit::Look(Instant now) {
  if (!begun_) {
    begun_ = true;
    begin_ = now;
  }
  const Duration passed = now - begin_;
  if (passed < length_ || (served_ < kServedMin && passed < kWhileMax)) return;
  // Where none was served, those under way have waited for all that time.
  const Duration quickest = served_ > 0 ? quickest_ : passed;
  if (served_ > 0 && peak_ <= options_.least) {
    unhurried_ =
        unhurried_ == Duration(0) ? quickest : unhurried_ + (quickest - unhurried_) / kSmoothing;
  }
  Judge(quickest);
  begin_ = now;
  length_ = std::clamp(quickest, kWhileMin, kWhileMax);
  peak_ = 0;
  served_ = 0;
}

void ConcurrencyLimit::Judge(Duration quickest) {
  const Duration allowed = delay_max();
  if (quickest <= allowed) {
    const bool used = peak_ >= limit_ - limit_ / 4;
    if (used) limit_ = std::min(limit_ + std::max<size_t>(limit_ / kGrowthPart, 1), options_.most);
    return;
  }
  if (peak_ <= options_.least) return;
  const auto useful =
      static_cast<size_t>(static_cast<int64_t>(peak_) * allowed.count() / quickest.count());
  limit_ = std::clamp(std::max(useful, peak_ / 2), options_.least, limit_);
}

}  // namespace annulus
