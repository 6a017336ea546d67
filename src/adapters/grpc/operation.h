#pragma once

#include <variant>

#include "adapters/grpc/server_call.h"
#include "annulus/kv/v1/kv.pb.h"
#include "node/api.h"
#include "task/task.h"

namespace annulus {

// How one operation of a batch or a pipeline ended, until it is put into a message.
struct OperationAnswer {
  PublicOp op = PublicOp::kGet;
  std::variant<absl::Status, WriteAnswer, GetAnswer> result;  // A status is an error.
};

// Which kind it is; of one that is none, that of a get.
PublicOp OpOf(const kv::v1::Operation& operation);

// Runs it. `operation` is taken apart at once, and not looked at again.
// REQUIRES: door->node is there.
Task<OperationAnswer> RunOperation(DoorContext* door, kv::v1::Operation* operation,
                                   Instant deadline);

// About the bytes that it takes, in memory and in a message.
size_t SizeOf(const OperationAnswer& answer);
void Fill(OperationAnswer answer, kv::v1::OperationResult* out);

}  // namespace annulus
