#pragma once

#include <string>
#include <vector>

#include "sim/tool/flags.h"

namespace annulus::sim {

// What annulus_sim can be asked for. Each prints its report, and returns what the process ends
// with.

// Many seeds; ends with one summary line.
int ReportSeeds(const Flags& flags);
// One seed: its story, what it broke, its trace hash.
int ReportOneSeed(const Flags& flags);
// A smaller run that fails as this seed does: what it takes, and its story.
int ReportShrunk(const Flags& flags);
// Every planted bug, and the seeds that caught it.
int ReportPlanted(const Flags& flags);
// Whether the seeds that a file keeps still catch theirs.
int ReportKept(const Flags& flags);
// The seeds that a file keeps because they failed once: whether they pass.
int ReportKeptSeeds(const Flags& flags);
// The same seeds twice: their traces must be equal.
int ReportTwice(const Flags& flags);

// What a put and a get cost between nodes, in messages and bytes, from 3 nodes to 64.
int ReportCost(const Flags& flags);

// What is wrong with a seed: its violations; or that it did too little to prove anything.
std::vector<std::string> ProblemsOf(const RunReport& report);

}  // namespace annulus::sim
