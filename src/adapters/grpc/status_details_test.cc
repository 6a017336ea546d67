#include "adapters/grpc/status_details.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace annulus {
namespace {

google::rpc::ErrorInfo InfoOf(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.code(), status.error_code());
  EXPECT_EQ(details.message(), status.error_message());
  google::rpc::ErrorInfo info;
  EXPECT_TRUE(details.details_size() > 0 && details.details(0).UnpackTo(&info));
  return info;
}

TEST(StatusDetails, OkHasNone) { EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok()); }

TEST(StatusDetails, EveryCodeButTwoGoesOutAsItIs) {
  for (int code = 1; code <= 16; ++code) {
    const auto status = ToGrpcStatus(absl::Status(static_cast<absl::StatusCode>(code), "m"));
    if (code == grpc::UNKNOWN || code == grpc::INTERNAL) {
      EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE);
    } else {
      EXPECT_EQ(status.error_code(), code);
    }
    const google::rpc::ErrorInfo info = InfoOf(status);
    EXPECT_EQ(info.domain(), "annulus");
    EXPECT_EQ(info.reason(), absl::StatusCodeToString(static_cast<absl::StatusCode>(code)));
    EXPECT_TRUE(info.metadata().empty());
  }
}

TEST(StatusDetails, AWriteSaysHowItEnded) {
  const google::rpc::ErrorInfo info = InfoOf(ToGrpcStatus(
      WithDetails(absl::DeadlineExceededError("m"),
                  {.reason = "WHY", .outcome = Outcome::kNotApplied, .acks = {1, 2, 3}})));
  EXPECT_EQ(info.reason(), "WHY");
  EXPECT_EQ(info.metadata().at("outcome"), "NOT_APPLIED");
  EXPECT_EQ(info.metadata().at("acks_primaries"), "1");
  EXPECT_EQ(info.metadata().at("acks_fallbacks"), "2");
  EXPECT_EQ(info.metadata().at("acks_required"), "3");
}

TEST(StatusDetails, ALongMessageIsCut) {
  EXPECT_EQ(ToGrpcStatus(absl::UnavailableError(std::string(100'000, 'm'))).error_message().size(),
            1024u);
}

}  // namespace
}  // namespace annulus
