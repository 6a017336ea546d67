#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/random.h"

namespace annulus::sim {

// Which directions between processes carry nothing: what the first sends does not reach the second.
// Processes are numbered from 1 to `processes`.
using Cut = std::pair<uint16_t, uint16_t>;
using Cuts = std::vector<Cut>;

// All that the process sends (or, not outward, is sent) to one other; to all for other = 0.
Cuts CutOneWay(int process, int other, bool outward, int processes);
// Everything between these and the rest.
Cuts CutBetween(const std::vector<int>& side, int processes);
// Both directions of some pairs, in random order: at least one, at most half of all.
Cuts CutPairs(Random* random, int processes);
// Two sides of random size and, where there are three processes or more, one that both hear.
Cuts CutBridge(Random* random, int processes);
// All but the neighbours of a random circle. REQUIRES: at least 4 processes, else nothing is cut.
Cuts CutRing(Random* random, int processes);

// The same links in another order; both directions of a link stay together.
Cuts Shuffled(Random* random, const Cuts& links);

}  // namespace annulus::sim
