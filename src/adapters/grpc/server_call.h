#pragma once

#include <grpcpp/server_context.h>

#include "adapters/faults/fault_plane.h"
#include "adapters/grpc/request_observer.h"
#include "adapters/loop/cq_loop.h"
#include "base/time.h"
#include "node/node.h"

namespace annulus {

// What the handlers of the public door share. All outlive them; `node` is null before the node has
// started and once it is gone, `faults` unless they are enabled.
struct DoorContext {
  CqLoop* loop = nullptr;
  Node* node = nullptr;
  RequestObserver* observer = nullptr;
  FaultPlane* faults = nullptr;
};

// When the caller stops waiting; kForever where it did not say.
Instant DeadlineOf(const grpc::ServerContext& context);

// What a call is told that comes while there is no node, or whose node goes away under it.
absl::Status NoNode();
absl::Status NodeWentAway(bool is_write);

}  // namespace annulus
