#include <array>
#include <chrono>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "sim/tool/reports.h"
#include "sim/tool/text.h"

namespace annulus::sim {

namespace {

// Least of a seed: fewer operations, or fewer acknowledged, prove too little.
constexpr uint64_t kOperationsMin = 1000;
constexpr uint64_t kSeedsForShares = 20;
constexpr double kShareMin = 0.10;
// Promise 1.
constexpr double kLostWithDisksPercentMax = 1;

}  // namespace

std::vector<std::string> ProblemsOf(const RunReport& report) {
  std::vector<std::string> problems = report.violations;
  if (!problems.empty()) return problems;
  if (report.operations < kOperationsMin || report.acknowledged * 2 < report.operations) {
    problems.push_back(absl::StrCat("too little was done: ", report.operations, " operations, ",
                                    report.acknowledged, " acknowledged"));
  }
  return problems;
}

namespace {

// What many seeds came to.
struct Sum {
  uint64_t seeds = 0, failed = 0, operations = 0, acknowledged = 0, exempted = 0, simulated_ms = 0;
  uint64_t acknowledged_writes = 0, lost_with_disks = 0;
  std::array<uint64_t, kFaultKinds> with_fault{};
  std::array<uint64_t, kSights> with_sight{};

  void Add(const RunReport& report) {
    ++seeds;
    operations += report.operations;
    acknowledged += report.acknowledged;
    exempted += report.exempted;
    acknowledged_writes += report.acknowledged_writes;
    lost_with_disks += report.lost_with_disks;
    simulated_ms += report.simulated_ms;
    for (int kind = 0; kind < kFaultKinds; ++kind) with_fault[kind] += report.faults[kind] > 0;
    for (int sight = 0; sight < kSights; ++sight) with_sight[sight] += report.sights[sight] > 0;
  }
};

// "delay 61, reorder 58": in how many percent of the seeds.
template <class Kind, size_t n>
std::string Shares(const std::array<uint64_t, n>& seeds_with, uint64_t seeds) {
  std::string text;
  for (size_t kind = 0; kind < n; ++kind) {
    absl::StrAppend(&text, kind == 0 ? "" : ", ", std::string(ToString(static_cast<Kind>(kind))),
                    absl::StrFormat(" %.0f", Percent(seeds_with[kind], seeds)));
  }
  return text;
}

// What fails the whole, though no seed of it; empty where nothing does.
std::string Wrong(const Sum& sum) {
  if (sum.seeds < kSeedsForShares) return "";
  std::string text;
  if (Percent(sum.lost_with_disks, sum.acknowledged_writes) > kLostWithDisksPercentMax) {
    text = "; FAILED: too many writes were lost with the only disk that had them";
  }
  for (int sight = 0; sight < kSights; ++sight) {
    if (Percent(sum.with_sight[sight], sum.seeds) >= 100 * kShareMin) continue;
    absl::StrAppend(&text, "; FAILED: too few seeds with ",
                    std::string(ToString(static_cast<Sight>(sight))));
  }
  return text;
}

}  // namespace

int ReportSeeds(const Flags& flags) {
  const auto started = std::chrono::steady_clock::now();
  Progress progress;
  Sum sum;
  RunFleet(FleetOf(flags, flags.first_seed, *flags.seeds), [&](const RunReport& report) {
    sum.Add(report);
    const std::vector<std::string> problems = ProblemsOf(report);
    if (!problems.empty()) {
      ++sum.failed;
      progress.Clear();
      std::printf(
          "seed %lu: %s%s\n  reproduce: %s\n", report.seed, problems[0].c_str(),
          problems.size() > 1 ? absl::StrCat(" (and ", problems.size() - 1, " more)").c_str() : "",
          Reproduction(report.seed, flags.run, flags.plant).c_str());
      std::fflush(stdout);
    }
    progress.Show(absl::StrFormat("seed %d: %d of %d, %d with violations", report.seed, sum.seeds,
                                  *flags.seeds, sum.failed));
    return true;
  });
  progress.Clear();
  const double real =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  const double simulated = static_cast<double>(sum.simulated_ms) / 1000;
  const std::string wrong = Wrong(sum);
  const bool ok = sum.failed == 0 && wrong.empty();

  std::printf("faults met, in %% of the seeds: %s\n",
              Shares<FaultKind>(sum.with_fault, sum.seeds).c_str());
  std::printf("seen, in %% of the seeds: %s\n", Shares<Sight>(sum.with_sight, sum.seeds).c_str());
  std::printf(
      "%s: %s seeds (%lu..%lu), %lu with violations; %s operations, %.1f %% acknowledged, %lu "
      "exempt, %.3f %% of writes lost with their disks; %.1f simulated hours in %.1f s, %s times "
      "real time%s\n",
      ok ? "sim" : "sim FAILED", Grouped(sum.seeds).c_str(), flags.first_seed,
      flags.first_seed + sum.seeds - 1, sum.failed, Grouped(sum.operations).c_str(),
      Percent(sum.acknowledged, sum.operations), sum.exempted,
      Percent(sum.lost_with_disks, sum.acknowledged_writes), simulated / 3600, real,
      Grouped(static_cast<uint64_t>(simulated / real)).c_str(), wrong.c_str());
  return ok ? 0 : 1;
}

}  // namespace annulus::sim
