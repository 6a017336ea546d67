#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/random.h"
#include "env/storage.h"
#include "sim/world.h"

namespace annulus::sim {

// What survives of a node: its disk, and the Storage that one process opens on it. Its fault model:
//
// - Batches queue. A sync takes 0.2-2 ms (one in fifty up to 20 ms, and `slow_by` more), and
// carries
//   all that was queued when it began; what arrives meanwhile shares the next. Order is kept, and
//   nothing is readable before it is acknowledged.
// - A crash forgets what was not synced: half the time all of it, else a prefix of the batches, in
//   order, made it to the disk without anybody knowing. Of a batch that was torn nothing is left:
//   recovery drops the log's tail, so that batches stay atomic. `TearNext` makes sure that the next
//   crash tears a group of batches in two.
//   A sync that fails is a crash in its middle, since it ends the process (env/storage.h).
// - With sync off a batch is acknowledged and readable when it is written to memory; the disk
// follows
//   every second or so, and a crash forgets what it had not reached.
// - Full: a commit is RESOURCE_EXHAUSTED, with nothing written; unless it only removes keys.
// - `commit_failure`: that share of the commits fails in the same way, at their sync, while those
//   beside them succeed.
// - A damaged value comes back altered, which the record's own checksum shows. (A block that the
//   store itself finds damaged costs the whole disk: see adapters/rocksdb.)
// - The whole disk can be wiped, and put back to an older state, while no process has it open.
// - Its sequence counts the batches that are on the disk itself, and goes with them.
// - A read is answered at once (from a cache), or after up to 0.3 ms, and sees what was committed
// by
//   then.
struct DiskConditions {
  bool full = false;
  Duration slow_by{0};
  double commit_failure = 0;
};

class SimStorage;

// Is told before anything on a disk changes.
class DiskWatcher {
 public:
  virtual ~DiskWatcher() = default;
  // A batch that is durable from now on.
  virtual void OnApply(uint16_t process, const StorageBatch& batch) = 0;
  // The disk is replaced, or a value on it altered.
  virtual void OnLoss(uint16_t process) = 0;
};

class SimDisk {
 public:
  struct Stats {
    uint64_t commits = 0;
    uint64_t syncs = 0;
    uint64_t failed_commits = 0;
    uint64_t lost_batches = 0;  // Forgotten by crashes,
    uint64_t crashes_that_lost = 0;
    uint64_t groups_torn = 0;  // Of which a crash kept a part.
    uint64_t values_damaged = 0;
  };

  SimDisk(World* world, uint16_t process, bool sync);

  // The store as a new incarnation opens it. One at a time; it must go before its loop does.
  std::unique_ptr<SimStorage> Open(SimLoop* loop);

  void set_conditions(DiskConditions conditions) { conditions_ = conditions; }
  const DiskConditions& conditions() const { return conditions_; }
  // Null: nobody. With sync off it is told nothing: nothing is durable there.
  void set_watcher(DiskWatcher* watcher) { watcher_ = watcher; }
  bool syncs() const { return sync_; }
  const Stats& stats() const { return stats_; }
  // Batches that a crash at this moment could forget.
  size_t unsynced() const;
  // Of these, how many the running sync carries.
  size_t in_sync() const;
  // Runs once, when a batch that writes to the family comes to be unsynced; another one takes its
  // place. An empty one is none.
  void OnNextWrite(ColumnFamily family, std::function<void()> told) {
    told_of_ = family;
    told_ = std::move(told);
  }

  void TearNext() { tear_next_ = true; }

  // A record or hint somewhere; nullopt where there is none.
  struct Place {
    ColumnFamily family;
    Bytes key;
  };
  std::optional<Place> PickPlace(Random* random) const;
  // Flips a bit. REQUIRES: something lies there.
  void Damage(const Place& place, Random* random);

  // As if some process had committed it; the watcher is told nothing.
  void ApplyForTest(const StorageBatch& batch) {
    std::vector<Undo> undo;
    Apply(batch, &undo);
  }

  // Everything on it, readable or not. REQUIRES for Restore and Wipe: no process has it open.
  struct Image;
  std::shared_ptr<const Image> Snapshot() const;
  void Restore(const Image& image);
  void Wipe();
  // How many batches lie on the disk, where no crash takes them from.
  uint64_t sequence() const { return sequence_; }
  // In order.
  using Map = std::map<Bytes, Bytes, std::less<>>;
  const Map& Entries(ColumnFamily family) const { return map(family); }
  // For tests: what lies on the disk, and what a reader sees.
  std::optional<Bytes> Peek(ColumnFamily family, BytesView key) const;

 private:
  friend class SimStorage;

  struct Undo {
    ColumnFamily family;
    Bytes key;
    std::optional<Bytes> old_value;
  };

  Map& map(ColumnFamily family) { return maps_[static_cast<size_t>(family)]; }
  const Map& map(ColumnFamily family) const { return maps_[static_cast<size_t>(family)]; }
  void Apply(const StorageBatch& batch, std::vector<Undo>* undo);
  void RemoveRange(const StorageWrite& write, std::vector<Undo>* undo);

  World* world_;
  uint16_t process_;
  bool sync_;
  Random random_;
  DiskConditions conditions_;
  std::array<Map, kColumnFamilies> maps_;  // As a reader sees them.
  bool tear_next_ = false;
  ColumnFamily told_of_ = ColumnFamily::kData;
  std::function<void()> told_;
  uint64_t sequence_ = 0;
  // With sync off: how to forget the batches that readers see and the disk does not have.
  std::deque<std::vector<Undo>> unflushed_;
  SimStorage* open_ = nullptr;
  DiskWatcher* watcher_ = nullptr;
  Stats stats_;
};

struct SimDisk::Image {
  std::array<Map, kColumnFamilies> maps;
  uint64_t sequence = 0;
};

class SimStorage final : public Storage {
 public:
  // The process is gone: what was not synced is decided here.
  ~SimStorage() override;

  void Read(ColumnFamily family, Bytes key, ReadDone done) override;
  void Commit(StorageBatch batch, CommitDone done) override;
  void ReadRange(ColumnFamily family, Bytes begin, Bytes end, size_t entries_max, size_t bytes_max,
                 PageDone done) override;
  bool Syncs() const override { return disk_->sync_; }
  uint64_t Sequence() const override { return disk_->sequence_; }

 private:
  friend class SimDisk;

  struct Pending {
    StorageBatch batch;
    CommitDone done;
    bool fails = false;
  };

  SimStorage(SimDisk* disk, SimLoop* loop) : disk_(disk), loop_(loop) {}

  void StartSync();
  void FinishSync();
  void Flush();
  absl::StatusOr<std::optional<Bytes>> Value(ColumnFamily family, const Bytes& key);
  absl::StatusOr<StoragePage> Page(ColumnFamily family, const Bytes& begin, const Bytes& end,
                                   size_t entries_max, size_t bytes_max);
  // Nullopt: at once.
  std::optional<Duration> ReadWait();

  SimDisk* disk_;
  SimLoop* loop_;
  bool syncing_ = false;
  bool start_asked_ = false;
  bool flush_asked_ = false;
  std::vector<Pending> queued_;
  std::vector<Pending> in_sync_;
};

}  // namespace annulus::sim
