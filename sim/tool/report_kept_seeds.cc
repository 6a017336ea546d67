#include <cstdio>

#include "absl/strings/numbers.h"
#include "sim/tool/kept_file.h"
#include "sim/tool/reports.h"

namespace annulus::sim {

int ReportKeptSeeds(const Flags& flags) {
  const auto kept = ReadKeptFile(flags.kept_seeds);
  if (!kept.has_value()) return 1;
  size_t failed = 0;
  for (const auto& [number, why] : *kept) {
    uint64_t seed = 0;
    if (!absl::SimpleAtoi(number, &seed)) {
      std::printf("%s is no seed\n", number.c_str());
      return 1;
    }
    RunFleet(FleetOf(flags, seed, 1), [&](const RunReport& report) {
      const std::vector<std::string> problems = ProblemsOf(report);
      if (problems.empty()) return true;
      ++failed;
      std::printf("seed %lu, kept for \"%s\": %s\n  reproduce: %s\n", seed, why.c_str(),
                  problems[0].c_str(), Reproduction(seed, flags.run, flags.plant).c_str());
      return true;
    });
  }
  std::printf("%s: %zu of the %zu seeds of %s pass\n",
              failed == 0 ? "failed once" : "failed once FAILED", kept->size() - failed,
              kept->size(), flags.kept_seeds.c_str());
  return failed == 0 ? 0 : 1;
}

}  // namespace annulus::sim
