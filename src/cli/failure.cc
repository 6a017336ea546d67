#include "cli/failure.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/encoding.h"
#include "cli/exit_code.h"

namespace annulus::cli {
namespace {

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
