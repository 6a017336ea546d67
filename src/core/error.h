#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/time.h"

namespace annulus {

// How a write ended.
enum class Outcome : uint8_t { kNone = 0, kApplied = 1, kNotApplied = 2, kUnknown = 3 };
std::string_view ToString(Outcome outcome);

// Who had made a write durable.
struct Acks {
  uint32_t primaries = 0;
  uint32_t fallbacks = 0;
  uint32_t required = 0;
  bool operator==(const Acks&) const = default;
};

// What a failure carries besides its code and message. It travels inside absl::Status as a payload,
// so that there is one error type everywhere.
struct ErrorDetails {
  std::string reason;  // UPPER_SNAKE_CASE: google.rpc.ErrorInfo.reason
  Outcome outcome = Outcome::kNone;
  Acks acks;
  Duration retry_after{0};  // 0: nothing is known.
  bool operator==(const ErrorDetails&) const = default;
};

absl::Status WithDetails(absl::Status status, const ErrorDetails& details);
// Defaults where the status carries none: the reason is then the code's name.
ErrorDetails DetailsOf(const absl::Status& status);

// Of a RESOURCE_EXHAUSTED that lasts until somebody makes room on that node's disk.
inline constexpr char kReasonDiskFull[] = "DISK_FULL";

}  // namespace annulus
