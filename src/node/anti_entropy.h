#pragma once

#include <map>
#include <optional>
#include <vector>

#include "node/context.h"
#include "task/mailbox.h"

namespace annulus {

// Keeps the owners of each partition equal, whatever was missed: compares the roots of the hash
// trees again and again, and has an exchange (node/exchange) run where they differ. Each owner does
// so for what it owns, at its own times, and leaves alone what another one is just exchanging.
//
// Always on; what it moves is limited by NodeOptions::repair_bytes_per_second, and while nothing
// differs a round costs one small message to each peer.
class AntiEntropy {
 public:
  // The layout may still be missing. REQUIRES: the node stores.
  explicit AntiEntropy(NodeContext* node);

  // The rounds, for the life of the node.
  Task<void> Run();
  // Compares every leaf with its data, partition after partition, in scrub_interval; those at once
  // that nobody has ever looked at. The first pass of a store that an older version wrote makes its
  // leaves.
  Task<void> Scrub();

  // Has a round run as soon as may be.
  void Hurry();
  // For people, and for whoever waits for a hurried round.
  std::optional<Duration> AgeOf(PartitionId partition) const;
  ConvergenceView convergence() const;

  // Another owner's questions. FAILED_PRECONDITION for a partition that is not this node's.
  Task<absl::StatusOr<RootsReply>> Answer(RootsRequest request);
  Task<absl::StatusOr<LeavesReply>> Answer(LeavesRequest request);
  Task<absl::StatusOr<KeysReply>> Answer(KeysRequest request);
  absl::StatusOr<HurryReply> Answer(const HurryRequest& request);

 private:
  struct Partition {
    // Convergence watermark (DESIGN section 8).
    std::optional<Instant> level_since;
    WallTime level_since_wall;
    // When another owner last asked for leaves or keys: it is exchanging.
    std::optional<Instant> asked;
  };
  using Roots = std::map<PartitionId, std::map<NodeId, uint64_t>>;
  struct Answered {
    NodeId peer;
    std::vector<PartitionId> partitions;
    absl::StatusOr<RootsReply> reply;
  };

  Task<void> Round();
  // What each of the other owners says of the partitions that both own.
  Task<Roots> AskRoots(std::shared_ptr<const Layout> layout, std::vector<PartitionId> owned);
  Task<void> ScrubPartition(PartitionId partition);
  absl::Status CheckOwned(PartitionId partition) const;
  std::vector<PartitionId> Owned() const;
  void MarkLevel(PartitionId partition, Instant since, WallTime wall);

  NodeContext* node_;
  std::vector<Partition> partitions_;
  Mailbox<bool> wake_;
  bool hurried_ = false;  // And the next round has not begun.
};

}  // namespace annulus
