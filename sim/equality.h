#pragma once

#include <string>
#include <vector>

#include "sim/cluster.h"

namespace annulus::sim {

// Promise 3 (DESIGN section 13), once all faults are healed and nobody writes: all owners become
// equal, and one more round of anti-entropy moves nothing. Runs the world until every node says so
// of all its partitions, or `patience` is over; then looks at the disks themselves. One line for
// each way in which it does not hold.
std::vector<std::string> CheckEquality(Cluster* cluster, Duration patience);

// Whether owners hold copies, at this moment, that differ although their digests are equal: no
// exchange would ever find them. Best asked while there is much to repair. One line for each.
std::vector<std::string> CheckDigests(const Cluster& cluster);

// Waits until no owner holds a tombstone any more, marked or not; says who does where that does not
// come in time. REQUIRES: the same.
std::vector<std::string> CheckReaped(Cluster* cluster, Duration patience);

}  // namespace annulus::sim
