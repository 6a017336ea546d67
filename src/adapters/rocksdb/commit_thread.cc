#include "adapters/rocksdb/commit_thread.h"

#include <pthread.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters/rocksdb/guarded_disk.h"
#include "adapters/rocksdb/rocks_status.h"
#include "rocksdb/db.h"
#include "rocksdb/options.h"
#include "rocksdb/write_batch.h"

namespace annulus {

namespace {

rocksdb::Status AddTo(rocksdb::WriteBatch* batch, rocksdb::ColumnFamilyHandle* family,
                      const StorageWrite& write) {
  if (write.end.has_value()) return batch->DeleteRange(family, write.key, *write.end);
  if (write.mixes) return batch->Merge(family, write.key, *write.value);
  if (write.value.has_value()) return batch->Put(family, write.key, *write.value);
  return batch->Delete(family, write.key);
}

uint64_t FreeBytesMin(const StorageBatch& batch) {
  return OnlyRemoves(batch) ? kRemovalsFreeBytesMin : kCommitsFreeBytesMin;
}

absl::Status NoRoom(const std::string& path, uint64_t free_bytes) {
  return DiskFull(absl::StrCat("data directory ", path, ": the disk is full (", free_bytes >> 20,
                               " MiB are free, the last ", kCommitsFreeBytesMin >> 20,
                               " MiB are kept); free disk space, writes go on by themselves then"));
}

// Memory that a rare large group leaves behind is given back; what ordinary groups need is kept.
constexpr size_t kKeptBytesMax = 1u << 20;

}  // namespace

CommitThread::CommitThread(rocksdb::DB* db,
                           std::array<rocksdb::ColumnFamilyHandle*, kColumnFamilies> families,
                           bool sync, GuardedDisk* disk, std::string path, Loop* loop,
                           std::shared_ptr<bool> alive)
    : db_(db),
      families_(families),
      sync_(sync),
      disk_(disk),
      path_(std::move(path)),
      loop_(loop),
      alive_(std::move(alive)),
      thread_([this] { Run(); }) {}

CommitThread::~CommitThread() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_one();
}

void CommitThread::HandOver(CommitGroup* commits) {
  bool wake;
  {
    std::lock_guard lock(mutex_);
    if (queue_.empty()) {
      queue_.swap(*commits);
    } else {
      for (PendingCommit& commit : *commits) queue_.push_back(std::move(commit));
    }
    // One that is in the middle of a write looks again by itself when it is done.
    wake = std::exchange(waiting_, false);
  }
  commits->clear();
  if (wake) work_.notify_one();
}

void CommitThread::Run() {
  pthread_setname_np(pthread_self(), "annulus commit");
  CommitGroup taken;
  rocksdb::WriteBatch merged;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      while (queue_.empty() && !stop_) {
        waiting_ = true;
        work_.wait(lock);
      }
      if (queue_.empty()) return;
      taken.swap(queue_);
    }
    for (size_t next = 0; next < taken.size();) {
      std::vector<Storage::CommitDone> dones;
      std::vector<Storage::CommitDone> refused;
      // Asked for each group, since others fill the disk too; it costs a microsecond or two.
      const uint64_t free_bytes = disk_->FreeBytes(path_);
      while (next < taken.size() && merged.GetDataSize() < kGroupBytesMax) {
        PendingCommit& commit = taken[next++];
        if (free_bytes < FreeBytesMin(commit.batch) + merged.GetDataSize()) {
          refused.push_back(std::move(commit.done));
          continue;
        }
        for (const StorageWrite& write : commit.batch) {
          rocksdb::ColumnFamilyHandle* family = families_[static_cast<size_t>(write.family)];
          // Fails only for keys or batches of 4 GiB.
          const rocksdb::Status added = AddTo(&merged, family, write);
          if (!added.ok()) Die("preparing a write", path_, added);
        }
        commit.batch = {};
        dones.push_back(std::move(commit.done));
      }
      absl::Status status = Write(&merged);
      if (merged.GetDataSize() > kKeptBytesMax) {
        merged = rocksdb::WriteBatch();
      } else {
        merged.Clear();
      }
      // Moved into the jobs, so that the callbacks run and die on the loop.
      Tell(std::move(dones), std::move(status));
      if (!refused.empty()) Tell(std::move(refused), NoRoom(path_, free_bytes));
    }
    taken.clear();
    if (taken.capacity() * sizeof(PendingCommit) > kKeptBytesMax) CommitGroup().swap(taken);
  }
}

void CommitThread::Tell(std::vector<Storage::CommitDone> dones, absl::Status status) {
  if (dones.empty()) return;
  loop_->Post([alive = alive_, dones = std::move(dones), status = std::move(status)]() mutable {
    for (Storage::CommitDone& done : dones) {
      if (!*alive) return;
      done(status);
    }
  });
}

absl::Status CommitThread::Write(rocksdb::WriteBatch* merged) {
  if (merged->Count() == 0) return absl::OkStatus();
  rocksdb::WriteOptions options;
  options.sync = sync_;
  const rocksdb::Status status = db_->Write(options, merged);
  if (status.ok()) return absl::OkStatus();
  // Refused before anything was written, since background work had met a full disk (RocksDB goes on
  // once there is space again) or damage (it never does). A full disk in the write itself is no
  // such case (see GuardedDisk): DiskWatch has ended the process then.
  if (IsNoSpace(status) || status.IsCorruption()) return FromRocks(status, "writing", path_);
  Die("a write", path_, status);
}

}  // namespace annulus
