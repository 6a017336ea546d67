#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "adapters/rocksdb/commit_thread.h"
#include "adapters/rocksdb/read_pool.h"
#include "base/bytes.h"
#include "env/storage.h"
#include "task/loop.h"

namespace rocksdb {
class ColumnFamilyHandle;
class DB;
class Env;
class Statistics;
class Status;
}  // namespace rocksdb

namespace annulus {

class GuardedDisk;

struct RocksOptions {
  // A directory that is new, empty, or an Annulus data directory. Made where it does not exist, but
  // not its parent.
  std::string path;
  // Whether a commit is durable when it is acknowledged. Without it a power failure, but not the
  // death of the process, may lose the last acknowledged commits: a suffix, never one from the
  // middle.
  bool sync = true;
  // What happens where a read meets bytes that fail RocksDB's checksums, or background work does
  // (which RocksDB does not get over: it never writes again):
  // - false: reads of what is damaged are DATA_LOSS, and after background work commits too; the
  //   rest is read.
  // - true: the directory is marked, and the process ends; where a read meets it, only after
  //   EndAtDamagedReads(). The next Open is DATA_LOSS. For whoever can set the database aside
  //   (data_directory.h) and rebuild it from elsewhere.
  bool ends_when_damaged = false;
  // Bytes for block cache and memtables together. 0: StorageMemoryBytes(MemoryLimitBytes()). At
  // least kStorageMemoryBytesMin is used. It is filled by use: an idle node holds next to nothing
  // of it.
  size_t memory_bytes = 0;
  // Threads that wait for the disk, for reads that memory cannot answer.
  int reader_threads = 2;
  // Tables kept open, each with two descriptors. 0: half of those that the process may have, for
  // all.
  int open_files_max = 0;
  // Takes warnings of the database, a line each, from any thread, and must not wait. Null: they go
  // to standard error.
  std::function<void(const std::string&)> warn;
  // Where RocksDB counts; may be null, which is a few percent faster.
  std::shared_ptr<rocksdb::Statistics> statistics;
  // The operating system as RocksDB sees it; null: the real one. Tests put failing disks here.
  rocksdb::Env* env = nullptr;
};

// Storage on one RocksDB.
//
//   loop      Commit, Commit, ...  end of turn ──┐                     ┌─► done, done, ...
//   commit thread                                └─► one Write, synced ┘      (one job)
//
// Batches that were handed over while one sync ran share the next. Reads never see what is not
// durable: RocksDB appends to the log, syncs it, and only then inserts into the memtable and moves
// the sequence number that readers look up (7.8: DBImpl::WriteImpl calls WriteToWAL, which syncs,
// before WriteBatchInternal::InsertInto, before SetLastSequence; only pipelined and unordered
// writes differ, and both are off). So a read may see a synced batch whose `done` is still on its
// way, no more.
//
// How a full disk goes: commits get RESOURCE_EXHAUSTED while less than kCommitsFreeBytesMin are
// left (guarded_disk.h), and no longer; those that only remove have kRemovalsFreeBytesMin. Where
// flushes met it first, which happens at kTablesFreeBytesMin, they get it until RocksDB, which
// looks every 5 s, has flushed what waits. Reads go on all the time. A disk that fails in any other
// way while it is written ends the process.
//
// REQUIRES: the loop outlives it. All methods, and the destructor, on the loop's thread.
class RocksStorage final : public Storage {
 public:
  // Opens or creates the database. Blocks: for the disk, and to replay the log of the last run.
  // - FAILED_PRECONDITION: another process has the directory open; it was written by a newer
  //   Annulus; it holds files of something else.
  // - DATA_LOSS: bytes on disk are damaged that an acknowledged commit had written.
  // - PERMISSION_DENIED, NOT_FOUND, RESOURCE_EXHAUSTED, UNAVAILABLE: the disk or path cannot be
  // used. Each message names the directory and what to do.
  static absl::StatusOr<std::unique_ptr<RocksStorage>> Open(RocksOptions options, Loop* loop);

  // Finishes every commit that was called, and closes. No callback runs during or after it; those
  // that are left are destroyed, here or with the loop's jobs.
  ~RocksStorage() override;

  RocksStorage(const RocksStorage&) = delete;
  RocksStorage& operator=(const RocksStorage&) = delete;

  // With `ends_when_damaged`: from now on reads that meet damage end the process. Until then they
  // are DATA_LOSS, since whoever starts can set the database aside and go on.
  void EndAtDamagedReads() { ends_at_damaged_reads_ = options_.ends_when_damaged; }

  // Answers before it returns where memory has what it takes: memtables, block cache, or the
  // kernel.
  void Read(ColumnFamily family, Bytes key, ReadDone done) override;
  void Commit(StorageBatch batch, CommitDone done) override;
  // Always answered by a reader thread. Leaves the block cache as it is: pages are read by scans
  // and repairs, which would drive out what clients ask for. `entries_max` of 0 counts as 1.
  void ReadRange(ColumnFamily family, Bytes begin, Bytes end, size_t entries_max, size_t bytes_max,
                 PageDone done) override;
  bool Syncs() const override { return options_.sync; }
  // RocksDB's own sequence number, which it raises only once the log is synced (see above) and
  // finds again in log and tables. Not synced: as it was when this was opened, since that is all
  // that is known to be on the disk.
  uint64_t Sequence() const override;

 private:
  RocksStorage(RocksOptions options, Loop* loop);
  absl::Status OpenDatabase();
  void HandOver();
  // What a read came to, on any thread.
  absl::StatusOr<std::optional<Bytes>> Answer(const rocksdb::Status& status, Bytes value) const;
  absl::Status ReadError(const rocksdb::Status& status) const;
  rocksdb::ColumnFamilyHandle* Handle(ColumnFamily family) const {
    return families_[static_cast<size_t>(family)];
  }

  const RocksOptions options_;
  Loop* const loop_;
  // False once this is destroyed. Jobs that other threads post look before they call anyone;
  // touched on the loop only.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  std::shared_ptr<GuardedDisk> disk_;
  std::unique_ptr<rocksdb::Env> env_;  // Of disk_.
  std::unique_ptr<rocksdb::DB> db_;
  std::array<rocksdb::ColumnFamilyHandle*, kColumnFamilies> families_ = {};
  uint64_t sequence_at_open_ = 0;
  std::atomic<bool> ends_at_damaged_reads_ = false;

  CommitGroup turn_;  // The commits of this turn of the loop.
  std::unique_ptr<ReadPool> readers_;
  std::unique_ptr<CommitThread> committer_;
};

}  // namespace annulus
