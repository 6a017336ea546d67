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
  // The other answer may take its time.
  EXPECT_EQ(liveness.StateOf(kA, At(900)), Liveness::State::kUp);
  liveness.Asked(kA, At(900));
  EXPECT_EQ(liveness.StateOf(kA, At(1001)), Liveness::State::kSilent);
  liveness.Heard(kA, At(1002));
  EXPECT_EQ(liveness.StateOf(kA, At(9000)), Liveness::State::kUp);
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

TEST(Liveness, GossipIsBelievedUntilThePeerItselfSpeaks) {
  Liveness liveness(100ms);
  liveness.Told(kA, Standing::kSuspect, At(0));
  EXPECT_EQ(liveness.StateOf(kA, At(1)), Liveness::State::kSuspect);
  liveness.Told(kA, Standing::kDead, At(10));
  EXPECT_EQ(liveness.StateOf(kA, At(11)), Liveness::State::kDown);
  liveness.Asked(kA, At(20));
  liveness.Heard(kA, At(21));
  EXPECT_EQ(liveness.StateOf(kA, At(22)), Liveness::State::kUp);
  // However long ago that was, gossip said it before.
  EXPECT_EQ(liveness.StateOf(kA, At(9000)), Liveness::State::kUp);
  liveness.Told(kA, Standing::kAlive, At(9000));
  liveness.Told(kA, Standing::kSuspect, At(9001));
  EXPECT_EQ(liveness.StateOf(kA, At(9002)), Liveness::State::kSuspect);
}

TEST(Liveness, AWordOfThisMomentBeatsWhatIsSaidNow) {
  Liveness liveness(100ms);
  liveness.Asked(kA, At(0));
  liveness.Heard(kA, At(10));
  liveness.Told(kA, Standing::kDead, At(20));
  EXPECT_EQ(liveness.StateOf(kA, At(30)), Liveness::State::kUp);
  EXPECT_EQ(liveness.StateOf(kA, At(111)), Liveness::State::kDown);
  EXPECT_EQ(liveness.Order({kA, kB}, At(111)), (std::vector<NodeId>{kB, kA}));
}

TEST(Liveness, SaysHowLongAPeerHasLeftSomethingUnanswered) {
  Liveness liveness(100ms);
  EXPECT_EQ(liveness.SilentFor(kA, At(0)), Duration(0));
  liveness.Asked(kA, At(0));
  EXPECT_EQ(liveness.SilentFor(kA, At(70)), 70ms);
  liveness.Asked(kA, At(100));
  EXPECT_EQ(liveness.SilentFor(kA, At(500)), 500ms);
  liveness.Heard(kA, At(510));
  EXPECT_EQ(liveness.SilentFor(kA, At(600)), Duration(0));
  EXPECT_EQ(liveness.HeardAt(kA), At(510));
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
