#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "env/storage.h"
#include "task/loop.h"

namespace rocksdb {
class ColumnFamilyHandle;
class DB;
class WriteBatch;
}  // namespace rocksdb

namespace annulus {

class GuardedDisk;

struct PendingCommit {
  StorageBatch batch;
  Storage::CommitDone done;
};
using CommitGroup = std::vector<PendingCommit>;

// Writes commits in the order in which they were handed over, as many as wait at once: one
// WriteBatch, one log record, one sync. Blocks while there is nothing to do.
class CommitThread {
 public:
  // A group takes no further commit once it has this many bytes of keys and values, so that one
  // record of the log, and the memory to make it, stay bounded.
  static constexpr size_t kGroupBytesMax = 8u << 20;

  // `*alive` is read on the loop only; callbacks are dropped once it is false.
  CommitThread(rocksdb::DB* db, std::array<rocksdb::ColumnFamilyHandle*, kColumnFamilies> families,
               bool sync, GuardedDisk* disk, std::string path, Loop* loop,
               std::shared_ptr<bool> alive);
  // Writes what was handed over, then joins.
  ~CommitThread();

  CommitThread(const CommitThread&) = delete;
  CommitThread& operator=(const CommitThread&) = delete;

  // Takes the commits out of `commits`, which keeps its memory. Called on the loop.
  void HandOver(CommitGroup* commits);

 private:
  void Run();
  absl::Status Write(rocksdb::WriteBatch* merged);
  // Runs them on the loop.
  void Tell(std::vector<Storage::CommitDone> dones, absl::Status status);

  rocksdb::DB* const db_;
  const std::array<rocksdb::ColumnFamilyHandle*, kColumnFamilies> families_;
  const bool sync_;
  GuardedDisk* const disk_;
  const std::string path_;
  Loop* const loop_;
  const std::shared_ptr<bool> alive_;

  std::mutex mutex_;
  std::condition_variable work_;
  CommitGroup queue_;     // Guarded by mutex_.
  bool waiting_ = false;  // Guarded by mutex_: the thread needs a wake-up.
  bool stop_ = false;     // Guarded by mutex_.
  std::jthread thread_;
};

}  // namespace annulus
