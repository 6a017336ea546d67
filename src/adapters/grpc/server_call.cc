#include "adapters/grpc/server_call.h"

#include <grpc/support/time.h>

#include "core/error.h"

namespace annulus {
namespace {

// When to ask again, or another process.
constexpr Duration kRetryAfter = 100ms;

}  // namespace

Instant DeadlineOf(const grpc::ServerContext& context) {
  const gpr_timespec at = gpr_convert_clock_type(context.raw_deadline(), GPR_CLOCK_MONOTONIC);
  // Beyond what an Instant holds: some 290 years, or none.
  if (at.tv_sec > INT64_MAX / 1'000'000'000 - 1) return kForever;
  return Instant(std::chrono::seconds(at.tv_sec) + std::chrono::nanoseconds(at.tv_nsec));
}

absl::Status NoNode() {
  return WithDetails(
      absl::UnavailableError("this process is starting or stopping; ask another one"),
      {.reason = "DRAINING", .outcome = Outcome::kNotApplied, .retry_after = kRetryAfter});
}

absl::Status NodeWentAway(bool is_write) {
  return WithDetails(
      absl::UnavailableError("this process stopped before the request ended; ask another one"),
      {.reason = "DRAINING",
       .outcome = is_write ? Outcome::kUnknown : Outcome::kNone,
       .retry_after = kRetryAfter});
}

}  // namespace annulus
