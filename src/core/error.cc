#include "core/error.h"

#include <algorithm>

#include "absl/strings/cord.h"
#include "base/bytes.h"

namespace annulus {
namespace {

constexpr char kTypeUrl[] = "annulus/error";

}  // namespace

std::string_view ToString(Outcome outcome) {
  switch (outcome) {
    case Outcome::kNone:
      return "NONE";
    case Outcome::kApplied:
      return "APPLIED";
    case Outcome::kNotApplied:
      return "NOT_APPLIED";
    case Outcome::kUnknown:
      return "UNKNOWN";
  }
  return "NONE";
}

absl::Status WithDetails(absl::Status status, const ErrorDetails& details) {
  Bytes payload;
  PutSized(&payload, details.reason);
  PutVarint(&payload, static_cast<uint8_t>(details.outcome));
  PutVarint(&payload, details.acks.primaries);
  PutVarint(&payload, details.acks.fallbacks);
  PutVarint(&payload, details.acks.required);
  PutVarint(&payload, static_cast<uint64_t>(std::max<int64_t>(details.retry_after.count(), 0)));
  status.SetPayload(kTypeUrl, absl::Cord(payload));
  return status;
}

ErrorDetails DetailsOf(const absl::Status& status) {
  ErrorDetails defaults;
  defaults.reason = absl::StatusCodeToString(status.code());
  const auto payload = status.GetPayload(kTypeUrl);
  if (!payload.has_value()) return defaults;

  const Bytes bytes(*payload);
  ByteReader reader(bytes);
  BytesView reason;
  uint64_t outcome = 0, primaries = 0, fallbacks = 0, required = 0, retry_after = 0;
  reader.Sized(&reason);
  reader.Varint(&outcome);
  reader.Varint(&primaries);
  reader.Varint(&fallbacks);
  reader.Varint(&required);
  reader.Varint(&retry_after);
  // Someone else's payload under our name: the code still says what matters.
  if (!reader.done() || outcome > static_cast<uint8_t>(Outcome::kUnknown)) return defaults;

  ErrorDetails details;
  details.reason = reason.empty() ? defaults.reason : std::string(reason);
  details.outcome = static_cast<Outcome>(outcome);
  details.acks = {static_cast<uint32_t>(primaries), static_cast<uint32_t>(fallbacks),
                  static_cast<uint32_t>(required)};
  details.retry_after = Duration(static_cast<int64_t>(retry_after));
  return details;
}

}  // namespace annulus
