#include "core/quorum/latency.h"

#include <gtest/gtest.h>

namespace annulus {
namespace {

const NodeId kA{1}, kB{2}, kC{3};

TEST(PeerLatencies, OnePeerThatIsFarSlowerThanTheFastestIsSlow) {
  PeerLatencies latencies;
  EXPECT_FALSE(latencies.IsSlow(kA));
  for (NodeId peer : {kA, kB, kC}) latencies.Answered(peer, 300us);
  latencies.Answered(kC, 1s);
  EXPECT_TRUE(latencies.IsSlow(kC));
  EXPECT_FALSE(latencies.IsSlow(kA));
  for (int i = 0; i < 15; ++i) latencies.Answered(kC, 300us);
  EXPECT_FALSE(latencies.IsSlow(kC));
}

TEST(PeerLatencies, WhereAllAreSlowNobodyIs) {
  PeerLatencies latencies;
  for (NodeId peer : {kA, kB, kC}) latencies.Answered(peer, 900ms);
  EXPECT_FALSE(latencies.IsSlow(kA));
  latencies.Answered(kB, 1s);
  EXPECT_FALSE(latencies.IsSlow(kB));
}

TEST(HedgeBudget, WaitsTwiceTheTail) {
  HedgeBudget budget(150ms);
  EXPECT_EQ(budget.Delay(), 150ms);
  for (int i = 0; i < 5000; ++i) budget.Ended(i % 40 == 0 ? 10ms : 1ms);
  EXPECT_GE(budget.Delay(), 20ms);
  EXPECT_LE(budget.Delay(), 27ms);
  for (int i = 0; i < 50000; ++i) budget.Ended(100us);
  EXPECT_EQ(budget.Delay(), 2ms);
  for (int i = 0; i < 50000; ++i) budget.Ended(10s);
  EXPECT_EQ(budget.Delay(), 150ms);
}

TEST(HedgeBudget, AllowsOneReadInTwenty) {
  HedgeBudget budget(150ms);
  int hedged = 0;
  for (int i = 0; i < 10000; ++i) {
    if (budget.Take()) {
      ++hedged;
    } else {
      budget.Ended(1ms);
    }
  }
  EXPECT_GT(hedged, 400);
  EXPECT_LT(hedged, 600);
}

}  // namespace
}  // namespace annulus
