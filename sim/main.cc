// annulus_sim: the simulator's command line (./x sim).

#include "sim/planted.h"
#include "sim/tool/reports.h"

namespace annulus::sim {
namespace {

int Main(int argc, char** argv) {
  const Flags flags = ParseFlags(argc, argv);
  Planter::Plant(flags.plant);
  if (flags.seeds.has_value()) return ReportSeeds(flags);
  if (flags.shrink) return ReportShrunk(flags);
  if (flags.seed.has_value()) return ReportOneSeed(flags);
  if (flags.cost) return ReportCost(flags);
  if (flags.planted) return ReportPlanted(flags);
  if (!flags.kept.empty()) return ReportKept(flags);
  if (!flags.kept_seeds.empty()) return ReportKeptSeeds(flags);
  return ReportTwice(flags);
}

}  // namespace
}  // namespace annulus::sim

int main(int argc, char** argv) { return annulus::sim::Main(argc, argv); }
