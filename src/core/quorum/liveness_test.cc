#include "core/quorum/liveness.h"

#include <gtest/gtest.h>

#include "core/quorum/replicas.h"

namespace annulus {
namespace {

const NodeId kA{1}, kB{2}, kC{3};
Instant At(int ms) { return Instant(std::chrono::milliseconds(ms)); }

TEST(Liveness, SilenceIsNoWordSinceSomethingWasAsked) {
  Liveness liveness(100ms);
  EXPECT_EQ(liveness.StateOf(kA, At(0)), Liveness::State::kUp);
  liveness.Asked(kA, At(0));
  liveness.Asked(kA, At(90));
  EXPECT_EQ(liveness.StateOf(kA, At(100)), Liveness::State::kUp);
  EXPECT_EQ(liveness.StateOf(kA, At(101)), Liveness::State::kSilent);
  liveness.Heard(kA, At(110));
  EXPECT_EQ(liveness.StateOf(kA, At(111)), Liveness::State::kUp);
  EXPECT_EQ(liveness.StateOf(kA, At(211)), Liveness::State::kSilent);
  liveness.Heard(kA, At(220));
  EXPECT_EQ(liveness.StateOf(kA, At(9000)), Liveness::State::kUp);
}

TEST(Liveness, AMissedDeadlineDoesNotEndSilence) {
  Liveness liveness(100ms);
  liveness.Asked(kA, At(0));
  liveness.Missed(kA);
  EXPECT_EQ(liveness.StateOf(kA, At(200)), Liveness::State::kSilent);
}

TEST(Liveness, OrdersUpThenSilentThenDown) {
  Liveness liveness(100ms);
  liveness.Asked(kA, At(0));
  liveness.Broken(kA);
  liveness.Asked(kB, At(0));
  EXPECT_EQ(liveness.Order({kA, kB, kC}, At(500)), (std::vector<NodeId>{kC, kB, kA}));
  liveness.Asked(kA, At(500));
  liveness.Heard(kA, At(501));
  EXPECT_EQ(liveness.Order({kA, kB, kC}, At(502)), (std::vector<NodeId>{kA, kC, kB}));
}

TEST(ReplicaCount, ResolvesLevelsAndNumbers) {
  EXPECT_EQ(*Resolve({}, 3, "r"), 2u);
  EXPECT_EQ(*Resolve({Consistency::kOne, 0}, 3, "r"), 1u);
  EXPECT_EQ(*Resolve({Consistency::kQuorum, 0}, 5, "r"), 3u);
  EXPECT_EQ(*Resolve({Consistency::kAll, 0}, 3, "r"), 3u);
  EXPECT_EQ(*Resolve({Consistency::kDefault, 3}, 3, "w"), 3u);
  EXPECT_EQ(Resolve({Consistency::kDefault, 4}, 3, "w").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Resolve({Consistency::kOne, 1}, 3, "w").status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace annulus
