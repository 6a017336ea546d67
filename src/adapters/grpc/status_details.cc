#include "adapters/grpc/status_details.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace annulus {
namespace {

constexpr char kDomain[] = "annulus";
// The message crosses as an HTTP/2 header, and again in the details; clients take 8 KiB of headers.
constexpr size_t kMessageBytesMax = 1024;

}  // namespace

absl::StatusCode PublicCode(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kInternal:
      return absl::StatusCode::kUnavailable;
    default:
      return code;
  }
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const ErrorDetails details = DetailsOf(status);
  const auto code = static_cast<grpc::StatusCode>(PublicCode(status.code()));
  const std::string message(status.message().substr(0, kMessageBytesMax));

  google::rpc::Status wire;
  wire.set_code(code);
  wire.set_message(message);

  google::rpc::ErrorInfo info;
  info.set_reason(details.reason);
  info.set_domain(kDomain);
  if (details.outcome != Outcome::kNone) {
    auto& metadata = *info.mutable_metadata();
    metadata["outcome"] = std::string(ToString(details.outcome));
    metadata["acks_primaries"] = absl::StrCat(details.acks.primaries);
    metadata["acks_fallbacks"] = absl::StrCat(details.acks.fallbacks);
    metadata["acks_required"] = absl::StrCat(details.acks.required);
  }
  wire.add_details()->PackFrom(info);

  if (details.retry_after > Duration{0}) {
    google::rpc::RetryInfo retry;
    const int64_t nanos = details.retry_after.count();
    retry.mutable_retry_delay()->set_seconds(nanos / 1'000'000'000);
    retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
    wire.add_details()->PackFrom(retry);
  }
  return grpc::Status(code, message, wire.SerializeAsString());
}

}  // namespace annulus
