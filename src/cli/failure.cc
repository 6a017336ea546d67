#include "cli/failure.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "cli/encoding.h"
#include "cli/exit_code.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace annulus::cli {
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

std::string Advice(const absl::Status& status, const ErrorDetails& details,
                   absl::string_view request_id) {
  if (details.reason == kUnreachable) {
    return "start a cluster with `annulus dev`, or name one with --endpoints or ANNULUS_ENDPOINTS";
  }
  if (details.outcome == Outcome::kUnknown) {
    if (request_id.empty()) return "read the item to see whether the write is there";
    return absl::StrCat("repeat it with --request-id ", Hex(request_id),
                        ": if it is there already, it is not written twice");
  }
  if (details.reason == kTooLarge) return "a value has 1 MiB at most; split it over several keys";
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return "see `annulus status` for members that are down; a lower --w or --r (or --consistency "
             "one) needs fewer of them";
    case absl::StatusCode::kDeadlineExceeded:
      return "give it more time with --timeout, or see `annulus status`";
    case absl::StatusCode::kResourceExhausted:
      if (details.retry_after.count() > 0) return "the cluster is overloaded: try again later";
      return "read the item, and write one value with the context of that read";
    case absl::StatusCode::kFailedPrecondition:
      return "see `annulus status` for what the process waits for";
    case absl::StatusCode::kUnimplemented:
      return "the endpoint is not the client port of an Annulus process, or of an older version";
    case absl::StatusCode::kDataLoss:
      return "see the logs of the owners (`annulus explain KEY` names them)";
    default:
      return "";
  }
}

// "put "k": what happened (CODE, REASON)"
std::string Headline(absl::string_view what, const absl::Status& status) {
  const std::string code = absl::StatusCodeToString(status.code());
  const std::string reason = DetailsOf(status).reason;
  return absl::StrCat(what, ": ", status.message(), " (", code,
                      reason.empty() || reason == code ? "" : absl::StrCat(", ", reason), ")");
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

std::string DescribeShort(absl::string_view what, const absl::Status& status) {
  std::string text = Headline(what, status);
  const Outcome outcome = DetailsOf(status).outcome;
  if (outcome != Outcome::kNone) {
    absl::StrAppend(&text, ", outcome ", std::string(ToString(outcome)));
  }
  return text;
}

std::string Describe(absl::string_view what, const absl::Status& status,
                     absl::string_view request_id) {
  const ErrorDetails details = DetailsOf(status);
  std::string text = Headline(what, status);
  if (details.outcome == Outcome::kNotApplied) {
    text += "\n  outcome: NOT_APPLIED: no node holds it, now or later";
  } else if (details.outcome == Outcome::kUnknown) {
    text += "\n  outcome: UNKNOWN: some node may hold it, or may come to";
  }
  if (details.acks.required > 0) {
    absl::StrAppendFormat(&text, "\n  acknowledged by %d of %d (owners %d, fallbacks %d)",
                          details.acks.primaries + details.acks.fallbacks, details.acks.required,
                          details.acks.primaries, details.acks.fallbacks);
  }
  if (const std::string advice = Advice(status, details, request_id); !advice.empty()) {
    absl::StrAppend(&text, "\n  to do: ", advice);
  }
  return text;
}

ExitCode ExitCodeFor(const absl::Status& status) {
  if (status.ok()) return kExitOk;
  const ErrorDetails details = DetailsOf(status);
  if (details.outcome == Outcome::kUnknown) return kExitUnknown;
  if (details.reason == kUnreachable || details.reason == kConnectionLost) return kExitUnreachable;
  if (status.code() == absl::StatusCode::kInvalidArgument) return kExitUsage;
  return kExitFailed;
}

}  // namespace annulus::cli
