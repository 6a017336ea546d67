#pragma once

#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/reap/epochs.h"
#include "env/env.h"
#include "task/task.h"

namespace annulus {

// Where a partition's epochs lie in the meta column family.
Bytes EpochsKey(PartitionId partition);

// Where this node stands in each partition (core/reap), kept durably; and whether it has been told
// the epochs since its start, before which it serves nothing of the partition.
//
// REQUIRES: all calls on the loop's thread.
class Epochs {
 public:
  Epochs(Env env, uint32_t partitions);

  // Reads what was noted before. DATA_LOSS where that is damaged.
  Task<absl::Status> Load();

  // What reads are stamped with, and what is accepted, now.
  const PartitionEpochs& Of(PartitionId partition) const { return slots_[partition.value()].now; }

  // What changes from now on is not older than this epoch: the present one, or the one to which it
  // is about to be raised, whose write such a change may come behind.
  Epoch ChangesIn(PartitionId partition) const { return slots_[partition.value()].written.current; }

  bool Serves(PartitionId partition) const { return slots_[partition.value()].told; }
  void Serve(PartitionId partition) { slots_[partition.value()].told = true; }
  // Until it is told again. What waits for a record's latch is refused too.
  void StopServing(PartitionId partition) { slots_[partition.value()].told = false; }
  // UNAVAILABLE (NOT_TOLD) where it does not.
  absl::Status CheckServes(PartitionId partition) const;
  // FAILED_PRECONDITION (STALE_STAMP) where the stamp is below what is accepted.
  absl::Status CheckStamp(PartitionId partition, Epoch stamp) const;

  // Each is durable when it returns OK. Epochs only rise.

  // A driver's.
  Task<absl::Status> Reserve(PartitionId partition, Epoch epoch);
  // An owner's. Stamps rise once it is durable.
  Task<absl::Status> Raise(PartitionId partition, Epoch epoch);
  // Lower stamps are refused from the call on, so that nothing of a lower stamp is written behind
  // this: what was taken before is durable by the time it returns, or will never be.
  Task<absl::Status> Close(PartitionId partition, Epoch epoch);
  // Another member's: both at once, for the same reason.
  Task<absl::Status> Note(PartitionId partition, Epoch epoch);
  // To rebuild begins with the call, not to ends when that is durable.
  Task<absl::Status> SetRebuilding(PartitionId partition, bool rebuilding);
  // `batch` is written with it, as one: where that fails, nothing is learnt. REQUIRES: the
  // partition is not served yet.
  Task<absl::Status> Learn(PartitionId partition, PartitionEpochs epochs, StorageBatch batch);

 private:
  struct Slot {
    PartitionEpochs now;
    PartitionEpochs written;  // As it is on its way to the disk.
    uint64_t writes = 0;      // That were begun.
    bool told = false;
  };

  // `written`, and the batch with it.
  Task<absl::Status> Write(PartitionId partition, StorageBatch batch);
  Task<absl::Status> Commit(StorageBatch batch);

  Env env_;
  std::vector<Slot> slots_;
};

// Reasons (core/error.h).
inline constexpr char kReasonStaleStamp[] = "STALE_STAMP";
inline constexpr char kReasonNotTold[] = "NOT_TOLD";

}  // namespace annulus
