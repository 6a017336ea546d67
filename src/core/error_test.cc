#include "core/error.h"

#include <gtest/gtest.h>

#include "absl/strings/cord.h"

namespace annulus {
namespace {

TEST(Error, DetailsTravelInsideAStatus) {
  const ErrorDetails details{.reason = "QUORUM_NOT_REACHED",
                             .outcome = Outcome::kUnknown,
                             .acks = {.primaries = 1, .fallbacks = 2, .required = 3},
                             .retry_after = 250ms};
  const absl::Status status =
      WithDetails(absl::UnavailableError("1 of 2 owners answered"), details);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "1 of 2 owners answered");
  EXPECT_EQ(DetailsOf(status), details);
}

TEST(Error, LaterDetailsReplaceEarlierOnes) {
  absl::Status status = WithDetails(absl::UnavailableError(""), {.reason = "A"});
  status = WithDetails(status, {.reason = "B", .outcome = Outcome::kNotApplied});
  EXPECT_EQ(DetailsOf(status).reason, "B");
  EXPECT_EQ(DetailsOf(status).outcome, Outcome::kNotApplied);
}

TEST(Error, WithoutDetailsTheReasonIsTheCode) {
  EXPECT_EQ(DetailsOf(absl::InvalidArgumentError("")), ErrorDetails{.reason = "INVALID_ARGUMENT"});
  EXPECT_EQ(DetailsOf(WithDetails(absl::DataLossError(""), {})).reason, "DATA_LOSS");
}

TEST(Error, AMalformedPayloadIsAsGoodAsNone) {
  absl::Status status = WithDetails(absl::UnavailableError(""), {.reason = "A_REASON"});
  const std::string payload(*status.GetPayload("annulus/error"));
  for (size_t size = 0; size < payload.size(); ++size) {
    status.SetPayload("annulus/error", absl::Cord(payload.substr(0, size)));
    EXPECT_EQ(DetailsOf(status), ErrorDetails{.reason = "UNAVAILABLE"});
  }
}

TEST(Error, OutcomesHaveTheNamesOfTheContract) {
  EXPECT_EQ(ToString(Outcome::kApplied), "APPLIED");
  EXPECT_EQ(ToString(Outcome::kNotApplied), "NOT_APPLIED");
  EXPECT_EQ(ToString(Outcome::kUnknown), "UNKNOWN");
}

}  // namespace
}  // namespace annulus
