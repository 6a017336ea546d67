#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "core/hint/hint.h"
#include "core/version/stored.h"
#include "env/env.h"
#include "node/hash_tree.h"
#include "task/spawn.h"
#include "task/task.h"

namespace annulus {

// Where a record lies on this node: its own copy of the item, or a hint kept for another node.
struct Place {
  Item item;
  NodeId hint_for;  // 0: its own copy.
};

// This node's copies, and the hints that it keeps for others. Every change of either goes through
// here: it takes the record's latch over read, update and write, until its own batch is durable and
// readable, so that nothing unsynced is ever read. Changes that wait for one latch share the next
// batch:
//
//   mint a ──┐                      ┌── merge c ─┐
//            read, apply, commit ...│            apply, commit ...   (no second read: it is known)
//                  │      mint b ───┘ both          │
//                  └ a's record goes to the peers   └ b's record goes, c is answered when durable
//                    before the commit is durable
//
// REQUIRES: all calls on the loop's thread; outlived by the Env.
class Replica {
 public:
  struct Options {
    uint32_t partitions = 256;
    Limits limits;
    HintLimits hint_limits;
  };

  Replica(Env env, Incarnation incarnation, Options options);

  // A change of a record that a client asked for, once it is made in memory.
  struct Minted {
    MintResult result;
    Bytes record;  // The whole merged record, encoded, to be sent to the other owners.
    Epoch epoch;   // Its stamp.
    uint32_t siblings = 0;
  };
  using DurableDone = absl::AnyInvocable<void(absl::Status)>;

  // Mints a dot for the write. Returns when the record is made, before it is durable; `durable`
  // runs once, later, when it is or will never be. A hint that is minted is a counted one.
  //
  // Errors (then `durable` does not run): what the store says; RESOURCE_EXHAUSTED where the record
  // would pass a limit, or the hints theirs (HINTS_FULL); DEADLINE_EXCEEDED, at the deadline, where
  // the latch was not free by then. All of them mean that nothing is, or will be, changed.
  Task<absl::StatusOr<Minted>> ApplyMint(Place place, Mint mint, Instant deadline,
                                         DurableDone durable);

  struct Merging {
    Bytes record;  // As a peer sent it.
    Epoch stamp;
    bool counted = false;         // Of a hint: it is to be acknowledged as standing for its target.
    Instant deadline = kForever;  // Nobody waits for it after that.
  };
  // OK when the result is durable here. DATA_LOSS where the bytes are damaged; RESOURCE_EXHAUSTED
  // (HINTS_FULL) where the hints are at their limit; DEADLINE_EXCEEDED where it passed before the
  // latch was free, and nothing is changed.
  Task<absl::Status> ApplyMerge(Place place, Merging merging);

  // Notes that the target lacks what this node holds of the item. HINTS_FULL as above.
  Task<absl::Status> Point(Place place);
  // Removes the hint if it is still the one with this encoding.
  Task<absl::Status> Discard(Place place, Bytes encoded);

  // The record as it is durable here; nullopt where there is none. DATA_LOSS where it is damaged.
  Task<absl::StatusOr<std::optional<StoredRecord>>> Read(Item item);

  // What is kept of the item for any of these nodes, merged; its epoch is the lowest stamp.
  Task<absl::StatusOr<std::optional<StoredRecord>>> ReadHints(Item item,
                                                              std::vector<NodeId> targets);
  // Counts what a former life of this node kept. Until it has, no hint is taken.
  Task<absl::Status> CountHints();
  const HintLedger& hints() const { return hints_; }
  // The leaves that follow every change.
  HashTree& tree() { return tree_; }

  // Whether what is acknowledged is durable.
  bool Syncs() const { return env_.storage->Syncs(); }

 private:
  struct Change;
  struct Latch;

  // RESOURCE_EXHAUSTED where a hint of about so many bytes more is too much.
  absl::Status AdmitHint(const Place& place, size_t bytes) const;
  void Enqueue(const Place& place, std::unique_ptr<Change> change);
  // Applies what waits for this latch, batch after batch, until nothing does.
  Task<void> Drain(std::shared_ptr<Latch> latch);
  Task<absl::StatusOr<std::optional<StoredRecord>>> Load(Bytes data_key);
  Task<absl::StatusOr<std::optional<Hint>>> LoadHint(Bytes hint_key);
  // What lies at the latch's place; empty where nothing does.
  Task<absl::StatusOr<Hint>> LoadHeld(std::shared_ptr<Latch> latch);
  // Makes the changes in memory and tells the minters; returns whether *held changed. Refused ones
  // are answered and taken out of the batch.
  bool Apply(bool is_hint, Hint* held, std::vector<std::unique_ptr<Change>>* batch);
  Task<absl::Status> CommitOwn(std::shared_ptr<Latch> latch, const StoredRecord* stored,
                               uint64_t digest_before);
  Task<absl::Status> CommitHint(std::shared_ptr<Latch> latch, const Hint* hint);

  Env env_;
  Options options_;
  HashTree tree_;
  // Written in mint notes. Drawn anew when a commit fails: what it minted may have been sent, and
  // must not be minted again from the record that is still on disk.
  Incarnation minting_;
  // By column family and key; never iterated.
  absl::flat_hash_map<std::pair<ColumnFamily, Bytes>, std::shared_ptr<Latch>> latches_;
  HintLedger hints_;
  bool hints_counted_ = false;
  TaskGroup drains_;
};

}  // namespace annulus
