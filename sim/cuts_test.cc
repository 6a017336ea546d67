#include "sim/cuts.h"

#include <algorithm>
#include <set>

#include "gtest/gtest.h"

namespace annulus::sim {
namespace {

std::set<Cut> SetOf(const Cuts& cuts) { return {cuts.begin(), cuts.end()}; }

// Whether all but what is given as one-way is cut both ways, and nobody from itself.
bool GoesBothWays(const Cuts& cuts) {
  const std::set<Cut> all = SetOf(cuts);
  return std::all_of(cuts.begin(), cuts.end(), [&](Cut cut) {
    return cut.first != cut.second && all.contains({cut.second, cut.first});
  });
}

int HeardBy(const Cuts& cuts, int process, int processes) {
  int heard = 0;
  for (int other = 1; other <= processes; ++other) {
    heard += other != process && !SetOf(cuts).contains(Cut(other, process));
  }
  return heard;
}

TEST(Cuts, OneWayLeavesTheOtherWay) {
  EXPECT_EQ(SetOf(CutOneWay(2, 0, true, 3)), (std::set<Cut>{{2, 1}, {2, 3}}));
  EXPECT_EQ(SetOf(CutOneWay(2, 3, false, 3)), (std::set<Cut>{{3, 2}}));
}

TEST(Cuts, ASideHearsItselfAlone) {
  EXPECT_EQ(SetOf(CutBetween({1, 2}, 3)), (std::set<Cut>{{1, 3}, {3, 1}, {2, 3}, {3, 2}}));
}

TEST(Cuts, ABridgeHearsEverybodyAndIsTheOnlyOne) {
  Random random(1);
  for (int processes = 3; processes <= 8; ++processes) {
    const Cuts cuts = CutBridge(&random, processes);
    EXPECT_TRUE(GoesBothWays(cuts));
    int bridges = 0;
    for (int i = 1; i <= processes; ++i) bridges += HeardBy(cuts, i, processes) == processes - 1;
    EXPECT_EQ(bridges, 1);
  }
}

TEST(Cuts, InARingEverybodyHearsTwo) {
  Random random(1);
  EXPECT_TRUE(CutRing(&random, 3).empty());
  for (int processes = 4; processes <= 8; ++processes) {
    const Cuts cuts = CutRing(&random, processes);
    EXPECT_TRUE(GoesBothWays(cuts));
    for (int i = 1; i <= processes; ++i) EXPECT_EQ(HeardBy(cuts, i, processes), 2);
  }
}

TEST(Cuts, PairsAreSomeAndShuffledAreTheSame) {
  Random random(1);
  for (int processes = 3; processes <= 8; ++processes) {
    const Cuts cuts = CutPairs(&random, processes);
    EXPECT_TRUE(GoesBothWays(cuts));
    EXPECT_GE(cuts.size(), 2u);
    EXPECT_LE(cuts.size(), static_cast<size_t>(processes * (processes - 1)));
    EXPECT_EQ(SetOf(Shuffled(&random, cuts)), SetOf(cuts));
  }
}

}  // namespace
}  // namespace annulus::sim
