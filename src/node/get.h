#pragma once

#include "node/context.h"

namespace annulus {

// A client's read, from any node or coordinator: asks R owners, merges what they hold, and asks
// others where one is silent or fails. Ends by its deadline: an answer (also "not found"), or
// INVALID_ARGUMENT, UNAVAILABLE (R owners cannot be reached, or none covers at_least),
// DEADLINE_EXCEEDED, DATA_LOSS.
// The request outlives the flow.
Task<absl::StatusOr<GetAnswer>> RunGet(NodeContext* node, const GetRequest& request,
                                       Instant deadline);

// What this node holds of an item, with its stamp: its own copy, or where it owns none, what it
// keeps for the owners.
Task<absl::StatusOr<Replica::Copy>> ReadOwn(NodeContext* node, Item item);
// The same for a peer.
Task<absl::StatusOr<ReadReply>> ReadHere(NodeContext* node, ReadRequest request);
// The same of an own copy that memory has; nullopt where only ReadHere can tell.
std::optional<absl::StatusOr<ReadReply>> ReadHereNow(NodeContext* node, const ReadRequest& request);

// A record as a client may see it now; values, which are moved, only where they are wanted.
GetAnswer AnswerOf(const NodeContext& node, const Item& item, Record record, bool values);

}  // namespace annulus
