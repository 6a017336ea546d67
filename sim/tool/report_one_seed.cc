#include <chrono>
#include <cstdio>

#include "sim/tool/reports.h"
#include "sim/tool/text.h"

namespace annulus::sim {

namespace {

constexpr size_t kHistoryLinesMax = 120;

}  // namespace

int ReportOneSeed(const Flags& flags) {
  RunOptions options = flags.run;
  options.keep_story = true;
  const auto started = std::chrono::steady_clock::now();
  const RunReport report = RunSeed(*flags.seed, options);
  const double real =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  for (const std::string& line : report.story) std::printf("%s\n", line.c_str());
  const std::vector<std::string> problems = ProblemsOf(report);
  for (const std::string& problem : problems) std::printf("VIOLATION: %s\n", problem.c_str());
  if (!report.violation_history.empty()) std::printf("history of the first item above:\n");
  for (size_t i = 0; i < report.violation_history.size(); ++i) {
    if (i == kHistoryLinesMax && !flags.whole_history) {
      std::printf("  ... (all of it: --history)\n");
      break;
    }
    std::printf("  %s\n", report.violation_history[i].c_str());
  }
  std::printf(
      "%s operations, %.1f %% acknowledged; at most %lu siblings; %lu crashes, of which %lu lost "
      "%lu unsynced batches; %lu failed commits; %lu writes at several minters, %lu exempt; %s "
      "events, %s messages; %.1f simulated seconds in %.3f s, %s times real time\n",
      Grouped(report.operations).c_str(), Percent(report.acknowledged, report.operations),
      report.siblings_max, report.crashes, report.crashes_that_lost, report.batches_lost,
      report.commits_failed, report.several_minters, report.exempted,
      Grouped(report.events).c_str(), Grouped(report.messages).c_str(),
      static_cast<double>(report.simulated_ms) / 1000, real,
      Grouped(static_cast<uint64_t>(static_cast<double>(report.simulated_ms) / 1000 / real))
          .c_str());
  std::printf("trace hash: %016lx\n", report.trace_hash);
  return problems.empty() ? 0 : 1;
}

}  // namespace annulus::sim
