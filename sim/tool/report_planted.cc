#include <algorithm>
#include <cstdio>
#include <optional>

#include "absl/strings/str_cat.h"
#include "sim/planted.h"
#include "sim/tool/reports.h"
#include "sim/tool/text.h"

namespace annulus::sim {

namespace {

constexpr uint64_t kPlantedSeedsMax = 200;

}  // namespace

int ReportPlanted(const Flags& flags) {
  Progress progress;
  int caught = 0, bugs = 0;
  uint64_t most = 0;
  for (int i = 1; i < static_cast<int>(PlantedBug::kCount); ++i) {
    const auto bug = static_cast<PlantedBug>(i);
    const std::string name(ToString(bug));
    ++bugs;
    progress.Show(absl::StrCat("planting: ", name));
    Planter::Plant(bug);
    std::optional<uint64_t> seed;
    std::string how;
    RunFleet(FleetOf(flags, flags.first_seed, kPlantedSeedsMax), [&](const RunReport& report) {
      if (report.violations.empty()) return true;
      seed = report.seed;
      how = report.violations[0];
      return false;
    });
    Planter::Plant(PlantedBug::kNone);
    progress.Clear();
    if (!seed.has_value()) {
      std::printf("%-34s SURVIVED %lu seeds\n", name.c_str(), kPlantedSeedsMax);
      continue;
    }
    ++caught;
    const uint64_t took = *seed - flags.first_seed + 1;
    most = std::max(most, took);
    std::printf("%-34s caught by seed %lu, after %lu: %s\n", name.c_str(), *seed, took,
                how.c_str());
    std::fflush(stdout);
  }
  std::printf("%s: %d of %d planted bugs caught, each within %lu seeds\n",
              caught == bugs ? "planted" : "planted FAILED", caught, bugs, most);
  return caught == bugs ? 0 : 1;
}

}  // namespace annulus::sim
