#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "core/layout/layout.h"
#include "env/env.h"
#include "task/task.h"

namespace annulus {

// What a node's store says about itself, in the meta column family: whose it is, and the last
// layout.
struct Identity {
  NodeId id;
  std::optional<Layout> layout;
};

// Reads it, or draws a node id and writes it, durably, where the store is empty.
// FAILED_PRECONDITION, with what to do, where the store belongs to another node or cluster.
Task<absl::StatusOr<Identity>> LoadIdentity(Env env, std::string cluster, std::string name);

// Durable when it returns OK.
Task<absl::Status> StoreLayout(Env env, const Layout& layout);

}  // namespace annulus
