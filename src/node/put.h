#pragma once

#include "node/context.h"

namespace annulus {

// A client's put or delete, from any node or coordinator. It ends by its deadline in one of three
// ways and says which: an answer (APPLIED), or a status whose details (core/error.h) have the
// outcome NOT_APPLIED or UNKNOWN and the acknowledgements. `*request` is taken apart; it outlives
// the flow.
Task<absl::StatusOr<WriteAnswer>> RunWrite(NodeContext* node, WriteRequest* request,
                                           Instant deadline);

// The same write at its minter, an owner (or a fallback, where no owner answered): mints,
// replicates, and answers when as many distinct nodes as the request wants hold it durably.
// Fallbacks take the place of owners that do not answer, where the request is sloppy, and keep
// hints for them.
//
//   client ──▶ coordinator ──forward──▶ owner 1        owner 2        owner 3
//                                        │ mint           │              │
//                                        ├──replicate────▶│              │
//                                        ├──replicate────────────────────▶│
//                                        │ sync           │ merge, sync   │ merge, sync
//                                        │◀──────durable──┤              │
//                  ◀────────applied──────┤ (W = 2)        │              │
//                                        │◀───────────durable (counts for nobody now)
//
// `request` must outlive the flow. Errors as above. NOT_APPLIED only where no node has, or will
// get, the write from here.
Task<absl::StatusOr<ForwardReply>> RunAsMinter(NodeContext* node, const ForwardRequest& request,
                                               Instant deadline);

}  // namespace annulus
