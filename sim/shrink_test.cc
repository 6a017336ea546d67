#include "sim/shrink.h"

#include <algorithm>

#include "gtest/gtest.h"

namespace annulus::sim {
namespace {

// Episode i is of kind i.
bool Has(const RunOptions& options, uint64_t episode) {
  if ((options.without >> episode) & 1) return false;
  if (!options.only_episodes.has_value()) return true;
  const auto& only = *options.only_episodes;
  return std::find(only.begin(), only.end(), episode) != only.end();
}

TEST(Shrinker, LeavesWhatTheFailureNeedsAndNothingElse) {
  Shrinker shrinker({}, [](const RunOptions& options, RunReport* report) {
    for (uint64_t episode = 1; episode <= 20; ++episode) {
      if (!Has(options, episode)) continue;
      report->episodes.push_back(episode);
      ++report->faults[episode];
    }
    const bool enough = (options.clients_max == 0 || options.clients_max >= 2) &&
                        (options.operations_max == 0 || options.operations_max >= 100);
    return Has(options, 3) && Has(options, 17) && enough;
  });
  const RunOptions small = shrinker.Shrink(1000);
  for (uint64_t episode = 1; episode <= 20; ++episode) {
    EXPECT_EQ(Has(small, episode), episode == 3 || episode == 17);
  }
  EXPECT_EQ(small.clients_max, 2);
  EXPECT_GE(small.operations_max, 100);
  EXPECT_LT(small.operations_max, 150);
  EXPECT_EQ(small.keys_max, 1);
}

TEST(Shrinker, StopsWhenItMayRunNoMore) {
  Shrinker shrinker({}, [](const RunOptions&, RunReport*) { return true; });
  shrinker.Shrink(3);
  EXPECT_EQ(shrinker.runs(), 3);
}

}  // namespace
}  // namespace annulus::sim
