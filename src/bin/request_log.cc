#include "bin/request_log.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/error.h"

namespace annulus {
namespace {

constexpr Duration kSlow = 500ms;

// Scans and pipelines take as long as their callers like.
bool IsSlow(PublicOp op, Duration elapsed) {
  return op != PublicOp::kScan && op != PublicOp::kPipeline && elapsed >= kSlow;
}

bool IsCallersFault(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kNotFound:
      return true;
    default:
      return false;
  }
}

}  // namespace

void RequestLog::OnEnd(PublicOp op, const absl::Status& status, Duration elapsed,
                       BytesView request_id) {
  metrics_->RequestEnded(op, status.code(), elapsed);
  const bool failed = !IsCallersFault(status.code());
  if (!failed && !IsSlow(op, elapsed)) return;
  uint64_t skipped = 0;
  if (!sampler_.Take(loop_->Now(), &skipped)) return;
  log_->Log(LogLevel::kWarn, failed ? "request_failed" : "request_slow",
            {{"op", std::string(ToString(op))},
             {"code", absl::StatusCodeToString(status.code())},
             {"reason", status.ok() ? "" : DetailsOf(status).reason},
             {"message", std::string(status.message())},
             {"elapsed_ms", absl::StrCat(elapsed / 1ms)},
             {"request_id", absl::BytesToHexString(std::string(request_id))},
             {"skipped", absl::StrCat(skipped)}});
}

}  // namespace annulus
