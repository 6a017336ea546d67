#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "core/hint/hint.h"
#include "core/ring/ring.h"
#include "core/version/stored.h"
#include "env/env.h"
#include "node/epochs.h"
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
// In a partition of which this node was not told the epochs, all ends as UNAVAILABLE (NOT_TOLD).
// Records whose stamp is too low are refused as FAILED_PRECONDITION (STALE_STAMP). A copy whose
// bytes are damaged is DATA_LOSS, and told to `on_damage`.
//
// REQUIRES: all calls on the loop's thread; outlived by the Env and the epochs.
class Replica {
 public:
  struct Options {
    uint32_t partitions = 256;
    Limits limits;
    HintLimits hint_limits;
    Duration clock_skew_max = 10min;
  };

  Replica(Env env, Incarnation incarnation, Epochs* epochs, Options options);

  // A change of a record that a client asked for, once it is made in memory.
  struct Minted {
    MintResult result;
    Bytes record;  // The whole merged record, encoded, to be sent to the other owners.
    Epoch stamp;
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
  // The same for a caller that is no flow; `done` runs once, at once or later.
  void Merge(Place place, Merging merging, DurableDone done);

  // Notes that the target lacks what this node holds of the item. HINTS_FULL as above.
  Task<absl::Status> Point(Place place);
  // Removes the hint if it is still the one with this encoding. UNAVAILABLE before CountHints has
  // ended.
  Task<absl::Status> Discard(Place place, Bytes encoded);

  // What a read found. Of an own copy, `stamp` is the partition's epoch before the read, and
  // `closed` what was closed after it: both err to the side that is safe.
  struct Copy {
    std::optional<Record> record;  // Nullopt where there is none.
    Epoch stamp;
    Epoch closed;  // 0: of hints.
    bool marked = false;
    bool rebuilding = false;  // The partition: it may lack anything.
  };
  // The record as it is durable here. DATA_LOSS where it is damaged.
  Task<absl::StatusOr<Copy>> Read(Item item);
  // The same where memory can tell at once, without a flow; nullopt where only Read can.
  std::optional<absl::StatusOr<Copy>> ReadNow(const Item& item);
  // What is kept of the item for any of these nodes, merged; its stamp is the lowest of them.
  Task<absl::StatusOr<Copy>> ReadHints(Item item, std::vector<NodeId> targets);

  // Steps of a round (core/reap) with one own copy, which the round's driver holds with this
  // digest. Each says whether it is so when it returns, durably.

  // Whether it is eligible now.
  Task<absl::StatusOr<bool>> IsEligible(Bytes data_key, uint64_t digest);
  // Marks it if it is eligible in this epoch, and lower ones are closed.
  Task<absl::Status> Mark(Bytes data_key, uint64_t digest, Epoch epoch);
  // Takes off the mark of an earlier round: it changes the copy.
  Task<absl::Status> Unmark(Bytes data_key);
  // Deletes it, if it is still marked and the partition is in this epoch.
  Task<absl::Status> Reap(Bytes data_key, Epoch epoch);

  // What removes the own copy of a whole partition, to be committed while nothing of it is served.
  static StorageBatch RemovalOf(PartitionId partition);

  // Removes whatever lies there, since it is damaged; what turns out not to be is written once
  // more, since memory may still hold what the disk has lost. What an own copy contributed to its
  // leaf is not known any more: whoever rebuilds the partition has the tree corrected first.
  // UNAVAILABLE, as Discard: a hint, before CountHints has ended.
  Task<absl::Status> DropDamaged(ColumnFamily family, Bytes key);
  // Is told of damaged copies and hints as they are met, by their keys. They stay as they are.
  using DamageSink = absl::AnyInvocable<void(ColumnFamily, const Bytes& key)>;
  void set_on_damage(DamageSink on_damage) { on_damage_ = std::move(on_damage); }
  void NoteDamage(ColumnFamily family, const Bytes& key);
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

  PartitionId PartitionOf(const Item& item) const {
    return annulus::PartitionOf(RingHash(item.bucket, item.key), options_.partitions);
  }

  // RESOURCE_EXHAUSTED where a hint of about so many bytes more is too much.
  absl::Status AdmitHint(const Place& place, size_t bytes) const;
  void Enqueue(Place place, std::unique_ptr<Change> change);
  // Applies what waits for this latch, batch after batch, until nothing does.
  Task<void> Drain(std::shared_ptr<Latch> latch);
  // Waits for the change's turn under its latch, and until it is durable.
  Task<absl::Status> Run(Place place, std::unique_ptr<Change> change);
  template <class What>
  Task<absl::Status> RunAt(Bytes data_key, What what);
  absl::Status RunStep(Change* change, StoredRecord* stored, const Latch& latch, bool* changed);
  Task<absl::StatusOr<std::optional<StoredRecord>>> Load(Bytes data_key);
  Task<absl::StatusOr<std::optional<Hint>>> LoadHint(Bytes hint_key);
  // What lies at the latch's place; empty where nothing does.
  Task<absl::StatusOr<Hint>> LoadHeld(std::shared_ptr<Latch> latch);
  // The same where memory has it, without a flow.
  std::optional<absl::StatusOr<Hint>> HeldNow(const Latch& latch);
  // An own copy that memory has.
  std::optional<absl::StatusOr<StoredRecord>> LoadNow(const Bytes& data_key);
  // Tells of it where it is damaged.
  absl::StatusOr<StoredRecord> DecodeOwn(const Bytes& data_key, const Bytes& bytes);
  // Makes the changes in memory and tells the minters; returns whether *held changed. Refused ones
  // are answered and taken out of the batch.
  bool Apply(const Latch& latch, Hint* held, std::vector<std::unique_ptr<Change>>* batch);
  struct Traces;
  Task<absl::Status> CommitOwn(std::shared_ptr<Latch> latch, const StoredRecord* stored,
                               Traces before);
  // Removes what lies there.
  Task<absl::Status> CommitDrop(std::shared_ptr<Latch> latch);
  Task<absl::Status> CommitHint(std::shared_ptr<Latch> latch, const Hint* hint);

  Env env_;
  Options options_;
  Epochs* epochs_;
  HashTree tree_;
  DamageSink on_damage_ = [](ColumnFamily, const Bytes&) {};
  // Written in mint notes. Drawn anew when a commit fails: what it minted may have been sent, and
  // must not be minted again from the record that is still on disk.
  Incarnation minting_;
  // By column family and key, which is the latch's own; never iterated.
  absl::flat_hash_map<std::pair<ColumnFamily, BytesView>, std::shared_ptr<Latch>> latches_;
  HintLedger hints_;
  bool hints_counted_ = false;
  TaskGroup drains_;
};

}  // namespace annulus
