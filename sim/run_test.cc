#include "sim/run.h"

#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/fleet.h"
#include "sim/planted.h"

namespace annulus::sim {
namespace {

using ::testing::IsEmpty;

TEST(Run, KeepsItsPromisesAndDoesEnough) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const RunReport report = RunSeed(seed, {});
    EXPECT_THAT(report.violations, IsEmpty()) << absl::StrJoin(report.violation_history, "\n");
    EXPECT_GE(report.operations, 1000u);
    EXPECT_GE(report.acknowledged * 2, report.operations);
    EXPECT_GT(report.siblings_max, 1u);
  }
}

TEST(Run, TheSameSeedIsTheSameRun) {
  const RunReport once = RunSeed(7, {.keep_story = true});
  const RunReport again = RunSeed(7, {.keep_story = true});
  EXPECT_EQ(once.trace_hash, again.trace_hash);
  EXPECT_EQ(once.story, again.story);
  EXPECT_NE(once.trace_hash, RunSeed(8, {}).trace_hash);
}

TEST(Run, WithSyncOffLosesWhatWasAcknowledgedAndTheCheckerSaysSo) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    if (!RunSeed(seed, {.sync = false}).violations.empty()) return;
  }
  FAIL() << "no run with sync off was caught";
}

TEST(Run, WithoutFaultsEveryOperationIsAcknowledged) {
  const RunReport report = RunSeed(3, {.without = (1u << kFaultKinds) - 1});
  EXPECT_THAT(report.violations, IsEmpty());
  EXPECT_EQ(report.crashes, 0u);
  EXPECT_GE(report.acknowledged, report.operations * 98 / 100);
}

TEST(Fleet, ReportsComeInTheOrderOfTheSeedsWhateverTheProcesses) {
  std::vector<uint64_t> seeds, hashes;
  RunFleet({.first_seed = 10, .seeds = 5, .jobs = 3}, [&](const RunReport& report) {
    seeds.push_back(report.seed);
    hashes.push_back(report.trace_hash);
    return true;
  });
  EXPECT_EQ(seeds, (std::vector<uint64_t>{10, 11, 12, 13, 14}));
  for (size_t i = 0; i < hashes.size(); ++i) EXPECT_EQ(hashes[i], RunSeed(seeds[i], {}).trace_hash);
}

TEST(Fleet, CanBeCalledOff) {
  int reports = 0;
  RunFleet({.seeds = 1000000, .jobs = 2}, [&](const RunReport&) { return ++reports < 3; });
  EXPECT_EQ(reports, 3);
}

// All of them within 200 seeds is `annulus_sim --planted`; here one, as the tool does it.
TEST(Planted, ABugIsCaughtWhileItIsPlanted) {
  Planter::Plant(PlantedBug::kMergeDropsSibling);
  uint64_t caught = 0;
  RunFleet({.seeds = 20, .jobs = 2}, [&](const RunReport& report) {
    caught += !report.violations.empty();
    return caught == 0;
  });
  Planter::Plant(PlantedBug::kNone);
  EXPECT_EQ(caught, 1u);
  EXPECT_THAT(RunSeed(1, {}).violations, IsEmpty());
}

}  // namespace
}  // namespace annulus::sim
