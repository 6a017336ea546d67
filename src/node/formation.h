#pragma once

#include "node/context.h"

namespace annulus {

// Finds or forms the first layout, and returns once this node has adopted it (durably, where it
// stores).
//
// The member with the smallest configured name forms version 1 once every configured member has
// introduced itself and all agree on what it is formed from; it is durable there before anyone sees
// it. The others, and coordinators, take the layout from whoever has it. Why there is none yet
// stands in node->not_ready_reason meanwhile.
Task<void> RunFormation(NodeContext* node);

// Who this node is, for a peer that asks.
IntroduceReply Introduce(const NodeContext& node);

}  // namespace annulus
