#pragma once

#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "core/merkle/tree.h"
#include "env/env.h"
#include "task/task.h"

namespace annulus {

// The hash trees of this node's partitions: leaves on disk, roots in memory.
//
// Every change of a record carries the change of its leaf in its own batch, mixed in by the store:
// whichever of two batches comes first, and whichever fails, the leaf is the XOR of what is there.
// Roots follow what was acknowledged, so that comparing them costs no reading.
//
// REQUIRES: all calls on the loop's thread.
class HashTree {
 public:
  HashTree(Env env, uint32_t partitions);

  // A change of a leaf that is on its way to the disk. Every Begin is followed by an End, once the
  // commit has ended.
  struct Change {
    LeafId leaf;
    uint64_t delta = 0;  // Digest before, XOR digest after.
  };
  void Begin(const Change& change, StorageBatch* batch);
  // Whether changes of the leaf have to wait for a moment, before Begin: it is being recomputed,
  // and would change all the time.
  bool IsHeld(LeafId id) const { return held_.contains(Number(id)); }
  void End(const Change& change, bool committed);
  // The partition's records and leaves were removed.
  void Forget(PartitionId partition) { partitions_[partition.value()].root.reset(); }

  // Is told the data keys of damaged records as they are met.
  using DamageSink = absl::AnyInvocable<void(const Bytes& data_key)>;
  void set_on_damage(DamageSink on_damage) { on_damage_ = std::move(on_damage); }

  // Errors of these: what the store says; DATA_LOSS where a record or leaf is damaged.

  // As of some moment since the call, or as of the last acknowledged change.
  Task<absl::StatusOr<uint64_t>> Root(PartitionId partition);
  Task<absl::StatusOr<Leaves>> ReadLeaves(PartitionId partition);

  // The items of these leaves (ascending), from this data key on (empty: the first), in the order
  // of their data keys, until about `bytes_max`.
  struct KeyPage {
    std::vector<KeyDigest> keys;
    Bytes next;  // Where to go on; empty: this was the last page.
  };
  Task<absl::StatusOr<KeyPage>> ListKeys(PartitionId partition, std::vector<uint32_t> leaves,
                                         Bytes begin, size_t bytes_max);

  // Makes a leaf what its items say. Returns whether it was anything else. Where its items change
  // all the time, the changes are held for a moment; UNAVAILABLE where those under way do not end.
  Task<absl::StatusOr<bool>> Recompute(LeafId id);
  // All leaves of a partition as the data says, in one pass that changes meanwhile may blur.
  Task<absl::StatusOr<Leaves>> ComputeLeaves(PartitionId partition);
  // Compares all leaves of a partition with its data, and recomputes those that differ. Returns how
  // many were wrong. One that cannot be recomputed does not keep it from the others.
  Task<absl::StatusOr<uint32_t>> Correct(PartitionId partition);

 private:
  // Notices changes of one leaf, or of a whole partition, that are under way while it lives.
  class Watch;
  struct Partition {
    uint32_t changing = 0;
    std::optional<uint64_t> root;
  };

  Task<absl::StatusOr<StoragePage>> ReadPage(ColumnFamily family, Bytes begin, Bytes end,
                                             size_t entries_max);
  Task<absl::StatusOr<uint64_t>> ReadLeaf(LeafId id);

  absl::StatusOr<uint64_t> DigestOfEntry(const Bytes& data_key, const Bytes& value);

  // Holds a leaf while it lives.
  class Hold;
  static uint32_t Number(LeafId id) { return id.partition.value() * kLeavesPerPartition + id.leaf; }

  Env env_;
  DamageSink on_damage_ = [](const Bytes&) {};
  std::vector<Partition> partitions_;
  absl::flat_hash_map<uint32_t, uint32_t> changing_;  // Changes under way, by leaf; not iterated.
  std::vector<Watch*> watches_;
  absl::flat_hash_set<uint32_t> held_;  // By leaf; not iterated.
};

}  // namespace annulus
