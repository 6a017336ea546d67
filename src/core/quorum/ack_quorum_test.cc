#include "core/quorum/ack_quorum.h"

#include <gtest/gtest.h>

namespace annulus {
namespace {

const NodeId kA{1}, kB{2}, kC{3}, kStranger{9};

TEST(AckQuorum, IsWonByDistinctNodes) {
  AckQuorum quorum(2, {kA, kB, kC});
  EXPECT_EQ(quorum.verdict(), Verdict::kPending);
  quorum.Ack(kA);
  quorum.Ack(kA);
  EXPECT_EQ(quorum.verdict(), Verdict::kPending);
  EXPECT_EQ(quorum.acks(), 1u);
  quorum.Ack(kStranger);
  EXPECT_EQ(quorum.verdict(), Verdict::kPending);
  quorum.Ack(kC);
  EXPECT_EQ(quorum.verdict(), Verdict::kWon);
}

TEST(AckQuorum, IsLostOnlyWhenTooFewAreLeft) {
  AckQuorum quorum(2, {kA, kB, kC});
  quorum.Refuse(kA);
  quorum.Refuse(kA);
  EXPECT_EQ(quorum.verdict(), Verdict::kPending);
  quorum.Refuse(kB);
  EXPECT_EQ(quorum.verdict(), Verdict::kLost);
}

TEST(AckQuorum, AYesAfterANoCounts) {
  AckQuorum quorum(2, {kA, kB});
  quorum.Refuse(kA);
  EXPECT_EQ(quorum.verdict(), Verdict::kLost);
  quorum.Ack(kA);
  quorum.Ack(kB);
  quorum.Refuse(kB);
  EXPECT_EQ(quorum.verdict(), Verdict::kWon);
}

TEST(AckQuorum, TooFewCandidatesAreLostFromTheStart) {
  EXPECT_EQ(AckQuorum(3, {kA, kB}).verdict(), Verdict::kLost);
}

}  // namespace
}  // namespace annulus
