#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "sim/cluster.h"

namespace annulus::sim {

// The writes of which this node's disk holds the only copies, by their request ids: those that are
// lost with it, or (where a place is given) with the value there. A copy is a record, or a hint,
// whose vector covers the write: then it has the write, or knows that it was replaced. `image`: the
// old copy that takes the disk's place, where one does.
//
// Where a partition is given, only what lies in that.
//
// Promise 1 excludes these writes, and the checker counts what it forgives for it.
std::vector<RequestId> OnlyCopiesOf(Cluster* cluster, int node,
                                    const std::optional<SimDisk::Place>& place,
                                    const SimDisk::Image* image,
                                    std::optional<PartitionId> partition = std::nullopt);

}  // namespace annulus::sim
