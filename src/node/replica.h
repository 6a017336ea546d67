#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "core/version/stored.h"
#include "env/env.h"
#include "node/hash_tree.h"
#include "task/spawn.h"
#include "task/task.h"

namespace annulus {

// This node's copies. Every change of a record goes through here: it takes the record's latch over
// read, update and write, until its own batch is durable and readable, so that nothing unsynced is
// ever read. Changes that wait for one latch share the next batch:
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
  // runs once, later, when it is or will never be. Errors (then `durable` does not run): what the
  // store says; RESOURCE_EXHAUSTED where the record would pass a limit; DEADLINE_EXCEEDED, at the
  // deadline, where the latch was not free by then. All of them mean that nothing is, or will be,
  // changed.
  Task<absl::StatusOr<Minted>> ApplyMint(Item item, Mint mint, Instant deadline,
                                         DurableDone durable);

  // Merges a record that a peer sent. OK when the result is durable here.
  // DATA_LOSS where the bytes are damaged.
  Task<absl::Status> ApplyMerge(Item item, Bytes encoded);

  // The record as it is durable here; nullopt where there is none. DATA_LOSS where it is damaged.
  Task<absl::StatusOr<std::optional<StoredRecord>>> Read(Item item);

  // The leaves that follow every change.
  HashTree& tree() { return tree_; }

  // Whether what is acknowledged is durable.
  bool Syncs() const { return env_.storage->Syncs(); }

 private:
  struct Change;
  struct Latch;

  void Enqueue(Item item, std::unique_ptr<Change> change);
  // Applies what waits for this latch, batch after batch, until nothing does.
  Task<void> Drain(std::shared_ptr<Latch> latch);
  Task<absl::StatusOr<std::optional<StoredRecord>>> Load(Bytes data_key);
  // Makes the changes in memory and tells the minters; returns whether *stored changed. Refused
  // ones are answered and taken out of the batch.
  bool Apply(StoredRecord* stored, std::vector<std::unique_ptr<Change>>* batch);

  Env env_;
  Options options_;
  HashTree tree_;
  // Written in mint notes. Drawn anew when a commit fails: what it minted may have been sent, and
  // must not be minted again from the record that is still on disk.
  Incarnation minting_;
  absl::flat_hash_map<Bytes, std::shared_ptr<Latch>> latches_;  // By data key; never iterated.
  TaskGroup drains_;
};

}  // namespace annulus
