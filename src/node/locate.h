#pragma once

#include "node/context.h"

namespace annulus {

// Where an item lives and what each owner holds of it, for operators.
Task<absl::StatusOr<LocateAnswer>> RunLocate(NodeContext* node, Item item, Instant deadline);

}  // namespace annulus
