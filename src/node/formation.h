#pragma once

#include "node/context.h"

namespace annulus {

// Finds or forms the first layout, and returns once it is node->joining (and durable, where this
// node stores).
//
// The member with the smallest configured name forms version 1 once every configured member has
// introduced itself and all agree on what it is formed from; it is durable there before anyone sees
// it. The others, and coordinators, take the layout from whoever has it. Why there is none yet
// stands in node->not_ready_reason meanwhile.
//
// A new data directory under the name of a member takes that member's id again, once nobody answers
// as that member any more; node->id changes then, and node->rebuild_all says what follows.
Task<void> RunFormation(NodeContext* node);

// Who this node is, for a peer that asks.
IntroduceReply Introduce(const NodeContext& node);

}  // namespace annulus
