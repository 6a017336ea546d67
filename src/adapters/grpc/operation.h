#pragma once

#include "adapters/grpc/server_call.h"
#include "annulus/kv/v1/kv.pb.h"
#include "task/task.h"

namespace annulus {

// Runs one operation of a batch or a pipeline and fills its result, whatever happens. `operation`
// is taken apart; both pointers outlive the flow. REQUIRES: door->node is there.
Task<void> RunOperation(DoorContext* door, kv::v1::Operation* operation, Instant deadline,
                        kv::v1::OperationResult* result);

// What an operation is told whose flow was abandoned with the node.
void FillAbandoned(bool is_write, kv::v1::OperationResult* result);
bool IsWrite(const kv::v1::Operation& operation);

}  // namespace annulus
