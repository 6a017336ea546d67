#pragma once

#include <cstdint>
#include <functional>

#include "sim/run.h"

namespace annulus::sim {

struct FleetOptions {
  uint64_t first_seed = 1;
  uint64_t seeds = 1;
  int jobs = 1;
  RunOptions run;
};

// Runs the seeds in `jobs` processes of their own, so that a run which ends by a failed invariant
// is one more report with a violation, and the others go on. The planted bug is inherited. Reports
// come in the order of their seeds, one call each, in this process; the rest is called off where
// the call returns false.
//
// Here and in tool/ alone the simulator touches the real world.
void RunFleet(const FleetOptions& options, const std::function<bool(const RunReport&)>& on_report);

}  // namespace annulus::sim
