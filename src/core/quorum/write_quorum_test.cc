#include "core/quorum/write_quorum.h"

#include <gtest/gtest.h>

namespace annulus {
namespace {

using Sends = WriteQuorum::Sends;

const NodeId kA{1}, kB{2}, kC{3}, kF{4}, kG{5}, kStranger{9};

bool Nobody(NodeId) { return false; }
bool Anyone(NodeId) { return true; }

TEST(WriteQuorum, IsWonByDistinctNodes) {
  WriteQuorum quorum(2, {kA, kB, kC}, {}, kA, NodeId());
  EXPECT_EQ(quorum.Start(Nobody), (Sends{{kB}, {kC}}));
  quorum.Ack(kA);
  quorum.Ack(kA);
  quorum.Ack(kStranger);
  EXPECT_EQ(quorum.verdict(), Verdict::kPending);
  quorum.Ack(kC);
  EXPECT_EQ(quorum.verdict(), Verdict::kWon);
  EXPECT_EQ(quorum.acks(), (Acks{.primaries = 2, .required = 2}));
}

TEST(WriteQuorum, WithoutFallbacksIsLostOnlyWhenTooFewOwnersAreLeft) {
  WriteQuorum quorum(2, {kA, kB, kC}, {}, kA, NodeId());
  quorum.Start(Nobody);
  EXPECT_EQ(quorum.Refuse(kA), Sends{});
  EXPECT_EQ(quorum.Refuse(kA), Sends{});
  EXPECT_EQ(quorum.verdict(), Verdict::kPending);
  EXPECT_EQ(quorum.Silence(Anyone), Sends{});
  quorum.Refuse(kB);
  EXPECT_EQ(quorum.verdict(), Verdict::kLost);
  quorum.Ack(kA);  // It was asked again.
  quorum.Ack(kC);
  EXPECT_EQ(quorum.verdict(), Verdict::kWon);
}

TEST(WriteQuorum, MoreThanThereAreNodesIsLostFromTheStart) {
  EXPECT_EQ(WriteQuorum(3, {kA, kB}, {}, kA, NodeId()).verdict(), Verdict::kLost);
}

TEST(WriteQuorum, AFallbackTakesTheSeatOfAnOwnerKnownToBeSilent) {
  WriteQuorum quorum(3, {kA, kB, kC}, {kF, kG}, kA, NodeId());
  EXPECT_EQ(quorum.Start([](NodeId node) { return node == kC; }), (Sends{{kB}, {kC}, {kF, kC}}));
  quorum.Ack(kA);
  quorum.Ack(kB);
  quorum.Ack(kF);
  EXPECT_EQ(quorum.verdict(), Verdict::kWon);
  EXPECT_EQ(quorum.acks(), (Acks{.primaries = 2, .fallbacks = 1, .required = 3}));
  EXPECT_TRUE(quorum.IsCovered(kC));
}

TEST(WriteQuorum, SilenceLeavesTheSeatOfOneThatMustNotBeReplaced) {
  WriteQuorum quorum(3, {kA, kB, kC}, {kF, kG}, kA, NodeId());
  quorum.Start(Nobody);
  EXPECT_EQ(quorum.Silence([](NodeId node) { return node == kC; }), (Sends{{kF, kC}}));
  // It is the one that sat down last that was silent.
  EXPECT_EQ(quorum.Silence([](NodeId node) { return node == kF; }), (Sends{{kG, kC}}));
  quorum.Silence([](NodeId) {
    ADD_FAILURE() << "asked although no fallback is left";
    return true;
  });
}

TEST(WriteQuorum, SilenceFillsEverySeatWithoutAYesAndThenGoesToTheNextFallback) {
  WriteQuorum quorum(3, {kA, kB, kC}, {kF, kG}, kA, NodeId());
  quorum.Start(Nobody);
  quorum.Ack(kA);
  quorum.Ack(kB);
  EXPECT_EQ(quorum.Silence(Anyone), (Sends{{kF, kC}}));
  EXPECT_EQ(quorum.Silence(Anyone), (Sends{{kG, kC}}));
  EXPECT_EQ(quorum.Silence(Anyone), Sends{});
  EXPECT_FALSE(quorum.IsCovered(kC));
  quorum.Ack(kF);  // Late, and durable all the same.
  EXPECT_EQ(quorum.verdict(), Verdict::kWon);
}

TEST(WriteQuorum, ARefusingFallbackIsFollowedByTheNext) {
  WriteQuorum quorum(2, {kA, kB}, {kF, kG}, kA, NodeId());
  quorum.Start([](NodeId node) { return node == kB; });
  quorum.Ack(kA);
  EXPECT_EQ(quorum.Refuse(kF), Sends{});  // Its owner may still answer.
  EXPECT_EQ(quorum.Refuse(kB), (Sends{{kG, kB}}));
  EXPECT_EQ(quorum.verdict(), Verdict::kPending);
  quorum.Refuse(kG);
  EXPECT_EQ(quorum.verdict(), Verdict::kLost);
}

TEST(WriteQuorum, AMinterThatIsAFallbackCountsAsOneInItsOwnersSeat) {
  WriteQuorum quorum(2, {kA, kB}, {kG}, kF, kA);
  EXPECT_EQ(quorum.Start([](NodeId) { return true; }), (Sends{{kA}, {kB}, {kG, kB}}));
  quorum.Ack(kF);
  quorum.Ack(kG);
  EXPECT_EQ(quorum.verdict(), Verdict::kWon);
  EXPECT_EQ(quorum.acks(), (Acks{.fallbacks = 2, .required = 2}));
}

TEST(WriteQuorum, TheMintersOwnSeatNeedsNobody) {
  WriteQuorum quorum(2, {kA, kB}, {kF}, kA, NodeId());
  quorum.Start(Nobody);
  EXPECT_EQ(quorum.Silence(Anyone), (Sends{{kF, kB}}));
}

}  // namespace
}  // namespace annulus
