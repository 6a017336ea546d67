#include "client/failure.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace annulus {
namespace {

uint32_t Number(const google::rpc::ErrorInfo& info, const std::string& name) {
  const auto it = info.metadata().find(name);
  uint32_t value = 0;
  if (it == info.metadata().end() || !absl::SimpleAtoi(it->second, &value)) return 0;
  return value;
}

Outcome OutcomeNamed(absl::string_view name) {
  // Both the short name and that of the enumeration's value.
  absl::ConsumePrefix(&name, "OUTCOME_");
  if (name == "APPLIED") return Outcome::kApplied;
  if (name == "NOT_APPLIED") return Outcome::kNotApplied;
  if (name == "UNKNOWN") return Outcome::kUnknown;
  return Outcome::kNone;
}

// What a write came to that failed without saying so.
Outcome OutcomeByCode(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
      return Outcome::kNotApplied;
    default:
      return Outcome::kUnknown;
  }
}

}  // namespace

absl::Status FromGrpc(const grpc::Status& status, CallKind kind) {
  if (status.ok()) return absl::OkStatus();
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  ErrorDetails details;
  bool informed = false;
  google::rpc::Status full;
  if (!status.error_details().empty() && full.ParseFromString(status.error_details())) {
    for (const auto& detail : full.details()) {
      google::rpc::ErrorInfo info;
      google::rpc::RetryInfo retry;
      if (detail.Is<google::rpc::ErrorInfo>() && detail.UnpackTo(&info)) {
        informed = true;
        details.reason = info.reason();
        if (auto it = info.metadata().find("outcome"); it != info.metadata().end()) {
          details.outcome = OutcomeNamed(it->second);
        }
        details.acks = {Number(info, "acks_primaries"), Number(info, "acks_fallbacks"),
                        Number(info, "acks_required")};
      } else if (detail.Is<google::rpc::RetryInfo>() && detail.UnpackTo(&retry)) {
        details.retry_after = std::chrono::seconds(retry.retry_delay().seconds()) +
                              std::chrono::nanoseconds(retry.retry_delay().nanos());
      }
    }
  }
  std::string message = status.error_message();
  if (!informed) {
    if (code == absl::StatusCode::kUnavailable) {
      details.reason = kConnectionLost;
      message = absl::StrCat("the connection broke with the call under way (", message, ")");
    } else if (code == absl::StatusCode::kDeadlineExceeded) {
      details.reason = kTimeout;
      message = "no answer in time";
    } else if (code == absl::StatusCode::kResourceExhausted &&
               absl::StrContains(message, "larger than max")) {
      details.reason = kTooLarge;  // gRPC itself refuses it, before any handler sees it.
      details.outcome = Outcome::kNotApplied;
    } else {
      details.reason = absl::StatusCodeToString(code);
    }
  }
  if (kind == CallKind::kRead) {
    details.outcome = Outcome::kNone;
  } else if (details.outcome == Outcome::kNone) {
    details.outcome = OutcomeByCode(code);
  }
  return WithDetails(absl::Status(code, message), details);
}

absl::Status FromOperationError(const kv::v1::OperationError& error, CallKind kind) {
  auto code = static_cast<absl::StatusCode>(error.code());
  if (code == absl::StatusCode::kOk) code = absl::StatusCode::kInternal;
  ErrorDetails details;
  details.reason = error.reason();
  if (details.reason.empty()) details.reason = absl::StatusCodeToString(code);
  details.acks = {error.acks().primaries(), error.acks().fallbacks(), error.acks().required()};
  details.retry_after = std::chrono::milliseconds(error.retry_after_ms());
  if (kind == CallKind::kWrite) {
    switch (error.outcome()) {
      case kv::v1::OUTCOME_NOT_APPLIED:
        details.outcome = Outcome::kNotApplied;
        break;
      case kv::v1::OUTCOME_UNKNOWN:
        details.outcome = Outcome::kUnknown;
        break;
      default:
        details.outcome = OutcomeByCode(code);
    }
  }
  return WithDetails(absl::Status(code, error.message()), details);
}

absl::Status UnreachableError(std::string message, CallKind kind) {
  ErrorDetails details;
  details.reason = kUnreachable;
  if (kind == CallKind::kWrite) details.outcome = Outcome::kNotApplied;
  return WithDetails(absl::UnavailableError(std::move(message)), details);
}

bool WorthRetrying(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kFailedPrecondition:  // An older layout than its peers', or none yet.
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
      return true;
    case absl::StatusCode::kResourceExhausted:
      return DetailsOf(status).retry_after.count() > 0;
    default:
      return false;
  }
}

bool BlamesEndpoint(const absl::Status& status) {
  return status.code() != absl::StatusCode::kResourceExhausted && WorthRetrying(status);
}

absl::Status WithEarlierOutcome(absl::Status last, bool earlier_unknown) {
  if (last.ok() || !earlier_unknown) return last;
  ErrorDetails details = DetailsOf(last);
  details.outcome = Outcome::kUnknown;
  return WithDetails(std::move(last), details);
}

}  // namespace annulus
