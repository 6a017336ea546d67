#pragma once

#include "node/context.h"

namespace annulus {

// Has one owner of every partition, or of this one, compare it with the others soon, and asks how
// they stand: Node::Repair.
Task<absl::StatusOr<RepairAnswer>> RunRepair(NodeContext* node,
                                             std::optional<PartitionId> partition, Duration age,
                                             Instant deadline);

}  // namespace annulus
