#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "node/context.h"
#include "task/mailbox.h"

namespace annulus {

// Deletes what is dead for good: tombstones, and values long expired (DESIGN section 6, ADR 11,
// docs/models). The first owner of a partition drives its rounds, one after the other:
//
//   driver                 other owners              all other members
//     ├── epochs? ────────────▶├────────────────────────▶├   the round's epoch is above all of them
//   1 ├── raise ──────────────▶├ durable                 │
//   2 ├── note ───────────────────────────────────────────▶├ durable; lower stamps are refused;
//     │                        │                         │ is any hint of a lower stamp left?
//   3 ├── collect: these? ────▶├ dead, equal, unchanged since before the raise: eligible
//   4 ├── close ──────────────▶├ durable: lower stamps are refused
//   5 ├── mark ───────────────▶├ durable: out of the leaves, sent to nobody
//   6 ├── delete ─────────────▶├ where it is still marked
//
// A round of which anybody answers no, or nothing, is given up: its epochs stay, and nothing else.
// Who stands in the way is named by view(). Always on; rounds are only for partitions in which
// something is dead.
class Reaper {
 public:
  // REQUIRES: the node stores.
  explicit Reaper(NodeContext* node);

  // The rounds, for the life of the node.
  Task<void> Run();
  // A member that owns nothing of the partition waits for its next round, to serve again.
  void WantRound(PartitionId partition);

  // The other side. FAILED_PRECONDITION where the request means another incarnation, or comes late.
  Task<absl::StatusOr<ReapReply>> Answer(ReapRequest request);

  ReapView view() const;

 private:
  // One round as it goes on.
  struct Round;

  Task<void> Pass();
  Task<bool> MarksStay(PartitionId partition);
  // One, where something is dead or it is wanted, and more while there is more to do.
  Task<void> RunRounds(PartitionId partition, bool wanted);
  Task<bool> Gather(Round* round);
  Task<bool> RunSteps(Round* round, std::vector<KeyDigest> keys);
  // The next dead records that this node holds of it; sets *more where there are others.
  Task<std::vector<KeyDigest>> ListDead(PartitionId partition, bool* more);
  // One step at all whom it concerns; what each answered. Nullopt where one did not, or refused.
  Task<std::optional<std::vector<ReapReply>>> AskStep(Round* round, ReapStep step,
                                                      std::vector<KeyDigest> keys);
  void Block(PartitionId partition, NodeId by);

  Task<absl::StatusOr<ReapReply>> Note(const ReapRequest& request);
  Task<absl::StatusOr<ReapReply>> Collect(const ReapRequest& request);
  Task<absl::Status> UnmarkAll(PartitionId partition);
  Task<absl::StatusOr<bool>> HasHintsBelow(PartitionId partition, Epoch epoch);
  // One step for each key, all at once.
  template <class Step>
  Task<ReapReply> ForEach(const std::vector<KeyDigest>& keys, Step step);

  NodeContext* node_;
  Mailbox<bool> wake_;
  std::set<PartitionId> wanted_;
  std::set<PartitionId> marked_;          // With marks at the last pass.
  std::map<PartitionId, Bytes> cursors_;  // Where the last look for dead records ended.
  std::map<PartitionId, std::set<NodeId>> blocked_;
};

}  // namespace annulus
