#include <algorithm>
#include <cstdio>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "sim/shrink.h"
#include "sim/tool/reports.h"
#include "sim/tool/text.h"

namespace annulus::sim {

namespace {

constexpr int kRunsMax = 1000;
constexpr size_t kLinesMax = 150;

// "LOST", "MISSED"; or the first word of what else went wrong.
std::string WayOf(const RunReport& report) {
  if (report.violations.empty()) return "";
  return report.violations[0].substr(0, report.violations[0].find(' '));
}

// One after the other by the time at which each line begins.
std::vector<std::string> Interleaved(const RunReport& report) {
  std::vector<std::string> lines = report.story;
  for (const std::string& line : report.violation_history) lines.push_back("  " + line);
  auto time = [](const std::string& line) {
    const size_t begin = std::min(line.find_first_not_of(' '), line.size());
    double at = 0;
    // A history's line has two times, as 1.50000..1.60000: the first is its beginning.
    return absl::SimpleAtod(line.substr(begin, line.find_first_of(" ", begin) - begin)
                                .substr(0, line.find("..", begin) - begin),
                            &at)
               ? at
               : 0;
  };
  std::stable_sort(lines.begin(), lines.end(),
                   [&](const std::string& a, const std::string& b) { return time(a) < time(b); });
  return lines;
}

}  // namespace

int ReportShrunk(const Flags& flags) {
  // In a process of its own each, since a run may end its process.
  auto run = [&](const RunOptions& options) {
    RunReport report;
    RunFleet({.first_seed = *flags.seed, .run = options}, [&](const RunReport& only) {
      report = only;
      return true;
    });
    return report;
  };
  const std::string way = WayOf(run(flags.run));
  if (way.empty()) {
    std::printf("seed %lu does not fail: there is nothing to shrink\n", *flags.seed);
    return 0;
  }
  Progress progress;
  int runs = 0;
  Shrinker shrinker(flags.run, [&](const RunOptions& options, RunReport* report) {
    progress.Show(absl::StrFormat("run %d", ++runs));
    *report = run(options);
    return WayOf(*report) == way;
  });
  RunOptions small = shrinker.Shrink(kRunsMax);
  progress.Clear();

  small.keep_story = true;
  const RunReport report = run(small);
  const std::vector<std::string> lines = Interleaved(report);
  size_t i = 0;
  if (lines.size() > kLinesMax && !flags.whole_history) {
    i = lines.size() - kLinesMax;
    std::printf("  ... (%zu lines before: --history)\n", i);
  }
  for (; i < lines.size(); ++i) std::printf("%s\n", lines[i].c_str());
  for (const std::string& line : report.violations) std::printf("VIOLATION: %s\n", line.c_str());
  std::printf("shrunk in %d runs to %lu operations and %lu faults: %s\n", shrinker.runs(),
              report.operations, report.episodes.size(),
              Reproduction(*flags.seed, small, flags.plant).c_str());
  return 1;
}

}  // namespace annulus::sim
