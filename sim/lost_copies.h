#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "sim/cluster.h"

namespace annulus::sim {

// The writes of which a disk holds the only copies. A copy is a record, or a hint, whose vector
// covers the write: then it has the write, or knows that it was replaced.
struct LostCopies {
  std::vector<RequestId> standing;  // Those that nothing has replaced.
  // Of each item, what the disk knows and what all others know together: a write that only the
  // first covers is lost although another one had replaced it, since that it replaced others is
  // lost.
  struct Part {
    Item item;
    VersionVector here;
    VersionVector elsewhere;
  };
  std::vector<Part> parts;
  // The same among owners alone. What such a write wrote may live on in hints, so that it is not
  // lost; but a strict read asks owners, and meets it once a hint has come to one.
  std::vector<Part> owned;
};

// What is lost with this node's disk, or (where a place is given) with the value there, or (where a
// partition is) with what lies in that. `image`: the old copy that takes the disk's place, where
// one does.
//
// Promise 1 excludes these writes, and the checker counts what it forgives for it.
LostCopies OnlyCopiesOf(Cluster* cluster, int node, const std::optional<SimDisk::Place>& place,
                        const SimDisk::Image* image,
                        std::optional<PartitionId> partition = std::nullopt);

}  // namespace annulus::sim
