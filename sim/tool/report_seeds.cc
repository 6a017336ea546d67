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

int ReportSeeds(const Flags& flags) {
  const auto started = std::chrono::steady_clock::now();
  Progress progress;
  uint64_t done = 0, failed = 0, operations = 0, acknowledged = 0, simulated_ms = 0, exempted = 0;
  uint64_t with_siblings = 0, with_losses = 0;
  std::array<uint64_t, kFaultKinds> seeds_with_fault{};
  RunFleet(FleetOf(flags, flags.first_seed, *flags.seeds), [&](const RunReport& report) {
    ++done;
    operations += report.operations;
    acknowledged += report.acknowledged;
    simulated_ms += report.simulated_ms;
    exempted += report.exempted;
    with_siblings += report.siblings_max > 1;
    with_losses += report.crashes_that_lost > 0;
    for (int kind = 0; kind < kFaultKinds; ++kind) {
      seeds_with_fault[kind] += report.faults[kind] > 0;
    }
    const std::vector<std::string> problems = ProblemsOf(report);
    if (!problems.empty()) {
      ++failed;
      progress.Clear();
      std::printf(
          "seed %lu: %s%s\n  reproduce: %s\n", report.seed, problems[0].c_str(),
          problems.size() > 1 ? absl::StrCat(" (and ", problems.size() - 1, " more)").c_str() : "",
          Reproduction(report.seed, flags.run, flags.plant).c_str());
      std::fflush(stdout);
    }
    progress.Show(absl::StrFormat("seed %d: %d of %d, %d with violations", report.seed, done,
                                  *flags.seeds, failed));
    return true;
  });
  progress.Clear();
  const double real =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  const double simulated = static_cast<double>(simulated_ms) / 1000;

  std::printf("faults met, in %% of the seeds:");
  for (int kind = 0; kind < kFaultKinds; ++kind) {
    std::printf("%s %s %.0f", kind == 0 ? "" : ",",
                std::string(ToString(static_cast<FaultKind>(kind))).c_str(),
                Percent(seeds_with_fault[kind], done));
  }
  std::printf("\n");
  bool ok = failed == 0;
  std::string remark;
  if (done >= kSeedsForShares) {
    if (static_cast<double>(with_siblings) < kShareMin * static_cast<double>(done)) {
      remark = "; FAILED: too few seeds with siblings";
      ok = false;
    }
    if (static_cast<double>(with_losses) < kShareMin * static_cast<double>(done)) {
      remark = "; FAILED: too few seeds with a crash that lost unsynced writes";
      ok = false;
    }
  }
  std::printf(
      "%s: %s seeds (%lu..%lu), %lu with violations; %s operations, %.1f %% acknowledged, %lu "
      "exempt; siblings in %.0f %%, crashes that lost unsynced writes in %.0f %%; %.1f simulated "
      "hours in %.1f s, %s times real time%s\n",
      ok ? "sim" : "sim FAILED", Grouped(done).c_str(), flags.first_seed,
      flags.first_seed + done - 1, failed, Grouped(operations).c_str(),
      Percent(acknowledged, operations), exempted, Percent(with_siblings, done),
      Percent(with_losses, done), simulated / 3600, real,
      Grouped(static_cast<uint64_t>(simulated / real)).c_str(), remark.c_str());
  return ok ? 0 : 1;
}

}  // namespace annulus::sim
