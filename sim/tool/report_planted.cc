#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "sim/planted.h"
#include "sim/tool/kept_file.h"
#include "sim/tool/reports.h"
#include "sim/tool/text.h"

namespace annulus::sim {

namespace {

constexpr uint64_t kPlantedSeedsMax = 200;
// Of seeds that have nothing to do with each other: a bug is caught by more than luck.
constexpr uint64_t kRanges = 3;
constexpr uint64_t kRangeStride = 1000000;

constexpr char kKeptHeader[] =
    "# For each planted bug a seed that catches it: annulus_sim --planted --keep FILE\n";

struct Catch {
  uint64_t seed = 0;
  std::string how;
};

// The first of the seeds that notices the bug.
std::optional<Catch> CatchOf(const Flags& flags, PlantedBug bug, uint64_t first, uint64_t seeds) {
  Planter::Plant(bug);
  std::optional<Catch> caught;
  RunFleet(FleetOf(flags, first, seeds), [&](const RunReport& report) {
    if (!report.violations.empty()) caught = Catch{report.seed, report.violations[0]};
    return !caught.has_value();
  });
  Planter::Plant(PlantedBug::kNone);
  return caught;
}

}  // namespace

int ReportPlanted(const Flags& flags) {
  Progress progress;
  int caught = 0, bugs = 0;
  uint64_t most = 0;
  std::string kept = kKeptHeader;
  for (const PlantedBug bug : AllPlantedBugs()) {
    const std::string name(ToString(bug));
    ++bugs;
    std::string seeds, how;
    uint64_t ranges = 0;
    for (; ranges < kRanges; ++ranges) {
      progress.Show(absl::StrCat("planting: ", name, ", range ", ranges + 1));
      const uint64_t first = flags.first_seed + ranges * kRangeStride;
      const std::optional<Catch> found = CatchOf(flags, bug, first, kPlantedSeedsMax);
      if (!found.has_value()) break;
      if (ranges == 0) {
        how = found->how;
        absl::StrAppend(&kept, name, ": ", found->seed, "\n");
      }
      const uint64_t took = found->seed - first + 1;
      most = std::max(most, took);
      absl::StrAppend(&seeds, seeds.empty() ? "" : ", ", found->seed, " (after ", took, ")");
    }
    progress.Clear();
    if (ranges < kRanges) {
      std::printf("%-34s SURVIVED %lu seeds from %lu on\n", name.c_str(), kPlantedSeedsMax,
                  flags.first_seed + ranges * kRangeStride);
    } else {
      ++caught;
      std::printf("%-34s caught by seeds %s: %s\n", name.c_str(), seeds.c_str(), how.c_str());
    }
    std::fflush(stdout);
  }
  if (!flags.keep.empty()) std::ofstream(flags.keep) << kept;
  std::printf("%s: %d of %d planted bugs caught in each of %lu ranges, each within %lu seeds\n",
              caught == bugs ? "planted" : "planted FAILED", caught, bugs, kRanges, most);
  return caught == bugs ? 0 : 1;
}

int ReportKept(const Flags& flags) {
  const auto lines = ReadKeptFile(flags.kept);
  if (!lines.has_value()) return 1;
  std::map<std::string, uint64_t> kept;
  for (const auto& [name, seed] : *lines) {
    if (!absl::SimpleAtoi(seed, &kept[name])) {
      std::printf("%s is no seed of %s\n", seed.c_str(), name.c_str());
      return 1;
    }
  }
  size_t caught = 0;
  for (const PlantedBug bug : AllPlantedBugs()) {
    const std::string name(ToString(bug));
    const auto seed = kept.find(name);
    if (seed == kept.end()) {
      std::printf("%s: no seed is kept\n", name.c_str());
    } else if (CatchOf(flags, bug, seed->second, 1).has_value()) {
      ++caught;
    } else if (const auto other = CatchOf(flags, bug, flags.first_seed, kPlantedSeedsMax)) {
      ++caught;  // Chance falls otherwise than when it was kept.
      std::printf("%s: seed %lu catches it no more, %lu does\n", name.c_str(), seed->second,
                  other->seed);
    } else {
      std::printf("%s: neither seed %lu nor %lu others catch it\n", name.c_str(), seed->second,
                  kPlantedSeedsMax);
    }
  }
  const bool all = !kept.empty() && caught == kept.size();
  std::printf("%s: %zu of the %zu planted bugs of %s caught\n",
              all ? "kept seeds" : "kept seeds FAILED", caught, kept.size(), flags.kept.c_str());
  return all ? 0 : 1;
}

}  // namespace annulus::sim
