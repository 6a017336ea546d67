#pragma once

#include <vector>

#include "node/context.h"

namespace annulus {

// Compares one partition with these of its other owners, and makes all of them equal: whatever one
// holds and another lacks is merged here, durably, and what came of it is sent to those that hold
// anything else.
//
//   here                      owner 2                    owner 3
//    ├──Leaves──────────────────▶├                           │
//    ├──Leaves──────────────────────────────────────────────▶├
//    │ which differ?             │                           │
//    ├──Keys of those───────────▶├  (page by page)           │
//    ├──Keys of those───────────────────────────────────────▶├
//    │ which differ?             │                           │
//    ├──Read────────────────────▶├  whatever is not here alike, merged here
//    ├──Replicate───────────────▶├──to those that differ────▶├  merged there, durable
//
// Leaves that differ although their keys do not are recomputed from the data, everywhere.
//
// Returns whether each of `others` took part and every difference is gone: then all these owners
// hold, at least, what any of them held when this began.
Task<bool> RunExchange(NodeContext* node, PartitionId partition, std::vector<NodeId> others);

// The other side.
Task<absl::StatusOr<LeavesReply>> AnswerLeaves(NodeContext* node, LeavesRequest request);
Task<absl::StatusOr<KeysReply>> AnswerKeys(NodeContext* node, KeysRequest request);

}  // namespace annulus
