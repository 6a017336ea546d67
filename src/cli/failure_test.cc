#include "cli/failure.h"

#include "cli/exit_code.h"
#include "client/client.h"
#include "client/fake_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace annulus::cli {
namespace {

using testing::HasSubstr;

TEST(FailureTest, DecodesErrorInfo) {
  const absl::Status status =
      FromGrpc(StatusWithInfo(grpc::StatusCode::UNAVAILABLE, "1 of 2 answered",
                              "QUORUM_NOT_REACHED", "UNKNOWN"),
               CallKind::kWrite);
  const ErrorDetails details = DetailsOf(status);
  EXPECT_EQ(details.reason, "QUORUM_NOT_REACHED");
  EXPECT_EQ(details.outcome, Outcome::kUnknown);
  EXPECT_EQ(details.acks.primaries, 1u);
  EXPECT_EQ(details.acks.required, 2u);
  EXPECT_EQ(ExitCodeFor(status), kExitUnknown);
  EXPECT_TRUE(WorthRetrying(status));
  const std::string text = Describe("put \"k\"", status, std::string(16, '\x01'));
  EXPECT_THAT(text, HasSubstr("QUORUM_NOT_REACHED"));
  EXPECT_THAT(text, HasSubstr("outcome: UNKNOWN"));
  EXPECT_THAT(text, HasSubstr("--request-id 0101"));
}

TEST(FailureTest, AWriteThatDoesNotSayIsUnknown) {
  const grpc::Status lost(grpc::StatusCode::UNAVAILABLE, "Socket closed");
  EXPECT_EQ(ExitCodeFor(FromGrpc(lost, CallKind::kWrite)), kExitUnknown);
  EXPECT_EQ(ExitCodeFor(FromGrpc(lost, CallKind::kRead)), kExitUnreachable);
  EXPECT_EQ(DetailsOf(FromGrpc(lost, CallKind::kRead)).outcome, Outcome::kNone);

  // But not where no handler can have seen it.
  const grpc::Status large(grpc::StatusCode::RESOURCE_EXHAUSTED,
                           "Received message larger than max (5 vs. 4)");
  const absl::Status status = FromGrpc(large, CallKind::kWrite);
  EXPECT_EQ(DetailsOf(status).outcome, Outcome::kNotApplied);
  EXPECT_EQ(DetailsOf(status).reason, kTooLarge);
  EXPECT_FALSE(WorthRetrying(status));
}

TEST(FailureTest, ExitCodes) {
  const auto code = [](grpc::StatusCode grpc_code, const char* outcome) {
    return ExitCodeFor(
        FromGrpc(StatusWithInfo(grpc_code, "m", "REASON", outcome), CallKind::kWrite));
  };
  EXPECT_EQ(code(grpc::StatusCode::UNAVAILABLE, "NOT_APPLIED"), kExitFailed);
  EXPECT_EQ(code(grpc::StatusCode::UNAVAILABLE, "UNKNOWN"), kExitUnknown);
  EXPECT_EQ(code(grpc::StatusCode::DEADLINE_EXCEEDED, "UNKNOWN"), kExitUnknown);
  EXPECT_EQ(code(grpc::StatusCode::INVALID_ARGUMENT, "NOT_APPLIED"), kExitUsage);
  EXPECT_EQ(ExitCodeFor(UnreachableError("m", CallKind::kWrite)), kExitUnreachable);
  EXPECT_EQ(ExitCodeFor(absl::OkStatus()), kExitOk);
}

TEST(FailureTest, AnEarlierDoubtStays) {
  const absl::Status later = UnreachableError("nobody", CallKind::kWrite);
  EXPECT_EQ(ExitCodeFor(WithEarlierOutcome(later, false)), kExitUnreachable);
  EXPECT_EQ(ExitCodeFor(WithEarlierOutcome(later, true)), kExitUnknown);
  EXPECT_TRUE(WithEarlierOutcome(absl::OkStatus(), true).ok());
}

TEST(FailureTest, OperationErrors) {
  kv::v1::OperationError error;
  error.set_code(grpc::StatusCode::RESOURCE_EXHAUSTED);
  error.set_reason("OVERLOAD");
  error.set_outcome(kv::v1::OUTCOME_NOT_APPLIED);
  EXPECT_FALSE(WorthRetrying(FromOperationError(error, CallKind::kWrite)));
  error.set_retry_after_ms(50);
  const absl::Status status = FromOperationError(error, CallKind::kWrite);
  EXPECT_TRUE(WorthRetrying(status));
  EXPECT_GE(RetryDelay(1, status).count(), 50);
  EXPECT_LE(RetryDelay(100, absl::UnavailableError("")).count(), 1000);
}

}  // namespace
}  // namespace annulus::cli
