#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "core/layout/layout.h"
#include "env/env.h"
#include "task/task.h"

namespace annulus {

// What a node's store says about itself, in the meta column family: whose it is, the last layout,
// and whether it is known not to be the disk that the node had before.
struct Identity {
  NodeId id;
  std::optional<Layout> layout;
  // The id was drawn just now, for an empty store.
  bool fresh = false;
  // What the node says of its sequence number is the store's own and this together: so it never
  // says less than before, whatever disk it is given.
  uint64_t sequence_base = 0;
  // This disk lacks what the node once had, in any of its partitions. True from when that was found
  // until it is noted for each of them instead (RebuildAllTakenUp).
  bool rebuild_all = false;
};

// Reads it, or draws a node id and writes it, durably, where the store is empty.
// FAILED_PRECONDITION, with what to do, where the store belongs to another node or cluster.
Task<absl::StatusOr<Identity>> LoadIdentity(Env env, std::string cluster, std::string name);

// Durable when it returns OK.
Task<absl::Status> StoreLayout(Env env, const Layout& layout);

// Makes the store that of an old member of the layout, whose own is lost: id, layout and
// rebuild_all in one batch. Durable when it returns OK.
Task<absl::Status> TakeOver(Env env, NodeId id, std::string cluster, std::string name,
                            const Layout& layout);

// Notes rebuild_all, and the base. Durable when it returns OK.
Task<absl::Status> NoteAmnesia(Env env, uint64_t sequence_base);

// Takes rebuild_all back: for the batch that notes of each partition that it is to be rebuilt.
StorageWrite RebuildAllTakenUp();

}  // namespace annulus
