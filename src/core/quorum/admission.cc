#include "core/quorum/admission.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "core/error.h"

namespace annulus {
namespace {

constexpr size_t kReadBytesMin = 4096;
constexpr size_t kReadBytesDecay = 32;
// What was let in elsewhere may be a quarter over the limit.
constexpr size_t kForwardedPart = 4;
constexpr Duration kStrainLasts = 1s;

ConcurrencyLimit::Options LimitOptions(const Admission::Options& options) {
  ConcurrencyLimit::Options limit = options.limit;
  limit.most = std::min(limit.most, options.operations_max);
  return limit;
}

}  // namespace

Admission::Admission(Options options)
    : options_(options),
      kinds_{Kind{ConcurrencyLimit(LimitOptions(options))},
             Kind{ConcurrencyLimit(LimitOptions(options))},
             Kind{ConcurrencyLimit(LimitOptions(options))}} {}

size_t Admission::KindOf(Work work) {
  switch (work) {
    case Work::kRead:
      return 0;
    case Work::kWrite:
    case Work::kForwarded:
      return 1;
    case Work::kScan:
      break;
  }
  return 2;
}

bool Admission::IsFull(Work work, size_t bytes) const {
  if (operations_ >= options_.operations_max) return true;
  if (operations_ > 0 && bytes_ + bytes > options_.bytes_max) return true;
  const Kind& kind = kinds_[KindOf(work)];
  const size_t limit = kind.limit.limit();
  return kind.under_way >= (work == Work::kForwarded ? limit + limit / kForwardedPart : limit);
}

absl::Status Admission::Enter(Work work, size_t bytes, Instant now) {
  if (IsFull(work, bytes)) {
    ++refused_;
    refused_at_ = now;
    return WithDetails(absl::ResourceExhaustedError(
                           absl::StrCat("this process has ", operations_, " operations of ", bytes_,
                                        " bytes under way; slow down, or ask another one")),
                       {.reason = kReasonOverloaded, .retry_after = options_.retry_after});
  }
  ++operations_;
  bytes_ += bytes;
  Kind& kind = kinds_[KindOf(work)];
  kind.limit.Began(++kind.under_way, now);
  return absl::OkStatus();
}

void Admission::Served(Work work, Duration took, Instant now) {
  Kind& kind = kinds_[KindOf(work)];
  kind.limit.Served(kind.under_way, took, now);
}

void Admission::Leave(Work work, size_t bytes) {
  Kind& kind = kinds_[KindOf(work)];
  ANNULUS_CHECK(operations_ > 0 && bytes_ >= bytes && kind.under_way > 0);
  --operations_;
  --kind.under_way;
  bytes_ -= bytes;
}

void Admission::LearnReadBytes(size_t bytes) {
  if (bytes < read_bytes_) bytes = read_bytes_ - (read_bytes_ - bytes) / kReadBytesDecay;
  read_bytes_ = std::max(bytes, kReadBytesMin);
}

bool Admission::Strained(Instant now) const {
  return refused_at_ != Instant::min() && now - refused_at_ <= kStrainLasts;
}

}  // namespace annulus
