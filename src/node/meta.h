#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "env/env.h"
#include "task/task.h"

namespace annulus {

// The meta column family: what a node notes about itself, under names.

// Nullopt where there is none.
Task<absl::StatusOr<std::optional<Bytes>>> ReadMeta(Env env, std::string name);
// Durable when it returns OK.
Task<absl::Status> WriteMeta(Env env, std::string name, Bytes value);
// Several at once, or none of them.
Task<absl::Status> CommitMeta(Env env, StorageBatch batch);

}  // namespace annulus
