#include <algorithm>
#include <cstdio>

#include "sim/tool/reports.h"

namespace annulus::sim {

int ReportTwice(const Flags& flags) {
  const uint64_t seeds = std::max<uint64_t>(1, *flags.determinism);
  std::vector<uint64_t> hashes;
  std::vector<uint64_t> differ;
  RunFleet(FleetOf(flags, flags.first_seed, seeds), [&](const RunReport& report) {
    hashes.push_back(report.trace_hash);
    return true;
  });
  // Once more, with other neighbours in the same memory.
  FleetOptions again = FleetOf(flags, flags.first_seed, seeds);
  again.jobs = again.jobs == 1 ? 2 : 1;
  RunFleet(again, [&](const RunReport& report) {
    if (hashes[report.seed - flags.first_seed] != report.trace_hash) {
      differ.push_back(report.seed);
      std::printf("seed %lu: trace hashes %016lx and %016lx\n", report.seed,
                  hashes[report.seed - flags.first_seed], report.trace_hash);
    }
    return true;
  });
  std::printf("%s: %lu seeds run twice, %lu with different trace hashes\n",
              differ.empty() ? "determinism" : "determinism FAILED", seeds, differ.size());
  return differ.empty() ? 0 : 1;
}

}  // namespace annulus::sim
