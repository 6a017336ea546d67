#pragma once

#include <cstdint>
#include <functional>

#include "sim/run.h"

namespace annulus::sim {

// Looks for a smaller run of the same seed that still fails: fewer fault kinds, fewer episodes (by
// halves, then one by one: delta debugging, Zeller and Hildebrandt 2002), fewer clients, operations
// and items. Each trial is a run of its own, in which chance falls otherwise, so that what is found
// fails in the same way, not necessarily for the same reason.
class Shrinker {
 public:
  // Runs with these options; whether that fails in the way that is looked for, and what it came to.
  using Fails = std::function<bool(const RunOptions& options, RunReport* report)>;

  // REQUIRES: it fails with `options`.
  Shrinker(RunOptions options, Fails fails);

  // Until nothing more can be left out, or so many runs were made.
  RunOptions Shrink(int runs_max);
  int runs() const { return runs_; }

 private:
  // Keeps the smaller options where they fail too.
  bool Try(const RunOptions& smaller);
  bool ShrinkKinds();
  bool ShrinkEpisodes();
  bool ShrinkNumber(int RunOptions::*limit, int start);

  RunOptions options_;
  Fails fails_;
  RunReport report_;  // Of the last run that failed.
  int runs_ = 0;
  int runs_max_ = 0;
};

}  // namespace annulus::sim
