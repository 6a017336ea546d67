#include "adapters/rocksdb/guarded_disk.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <limits>
#include <utility>

namespace annulus {

namespace {

thread_local bool reads_without_waiting = false;

// A table that is read. RocksDB's own file has no such read, and does not tell its descriptor: this
// one opens a second one.
class ReadTableFile final : public rocksdb::FSRandomAccessFileOwnerWrapper {
 public:
  ReadTableFile(std::unique_ptr<rocksdb::FSRandomAccessFile> file, const std::string& name)
      : rocksdb::FSRandomAccessFileOwnerWrapper(std::move(file)),
        descriptor_(open(name.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~ReadTableFile() override {
    if (descriptor_ >= 0) close(descriptor_);
  }

  rocksdb::IOStatus Read(uint64_t offset, size_t bytes, const rocksdb::IOOptions& options,
                         rocksdb::Slice* result, char* scratch,
                         rocksdb::IODebugContext* debug) const override {
    if (!reads_without_waiting) {
      return FSRandomAccessFileOwnerWrapper::Read(offset, bytes, options, result, scratch, debug);
    }
    const iovec into{scratch, bytes};
    if (descriptor_ < 0 || preadv2(descriptor_, &into, 1, static_cast<off_t>(offset), RWF_NOWAIT) !=
                               static_cast<ssize_t>(bytes)) {
      return rocksdb::IOStatus::Busy("not in memory");
    }
    *result = rocksdb::Slice(scratch, bytes);
    return rocksdb::IOStatus::OK();
  }

 private:
  const int descriptor_;  // Negative: there is none to be had.
};

// How much of a table is written between two looks at the disk.
constexpr uint64_t kLookEveryBytes = 1u << 20;

class TableFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  TableFile(std::unique_ptr<rocksdb::FSWritableFile> file, GuardedDisk* disk, std::string name)
      : rocksdb::FSWritableFileOwnerWrapper(std::move(file)), disk_(disk), name_(std::move(name)) {}

  rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                           rocksdb::IODebugContext* debug) override {
    if (rocksdb::IOStatus status = Look(data.size()); !status.ok()) return status;
    return FSWritableFileOwnerWrapper::Append(data, options, debug);
  }
  rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                           const rocksdb::DataVerificationInfo& verification,
                           rocksdb::IODebugContext* debug) override {
    if (rocksdb::IOStatus status = Look(data.size()); !status.ok()) return status;
    return FSWritableFileOwnerWrapper::Append(data, options, verification, debug);
  }
  // Space that is set aside for a whole table at once would pass the mark unseen.
  rocksdb::IOStatus Allocate(uint64_t /*offset*/, uint64_t /*bytes*/,
                             const rocksdb::IOOptions& /*options*/,
                             rocksdb::IODebugContext* /*debug*/) override {
    return rocksdb::IOStatus::OK();
  }
  void PrepareWrite(size_t /*offset*/, size_t /*bytes*/, const rocksdb::IOOptions& /*options*/,
                    rocksdb::IODebugContext* /*debug*/) override {}

 private:
  rocksdb::IOStatus Look(uint64_t bytes) {
    if (unseen_bytes_ >= kLookEveryBytes) {
      unseen_bytes_ = 0;
      if (disk_->FreeBytes(name_) < kTablesFreeBytesMin) {
        return rocksdb::IOStatus::NoSpace("the last of the space is kept for the log", name_);
      }
    }
    unseen_bytes_ += bytes;
    return rocksdb::IOStatus::OK();
  }

  GuardedDisk* const disk_;
  const std::string name_;
  uint64_t unseen_bytes_ = kLookEveryBytes;  // The first write looks.
};

// So many zeros lie ahead of a log's end, and are written anew when it reaches theirs.
constexpr size_t kZerosAheadBytes = 512u << 10;

class LogFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  explicit LogFile(std::unique_ptr<rocksdb::FSWritableFile> file)
      : rocksdb::FSWritableFileOwnerWrapper(std::move(file)) {}

  rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                           rocksdb::IODebugContext* debug) override {
    MakeRoom(data.size(), options, debug);
    return FSWritableFileOwnerWrapper::Append(data, options, debug);
  }
  rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                           const rocksdb::DataVerificationInfo& verification,
                           rocksdb::IODebugContext* debug) override {
    MakeRoom(data.size(), options, debug);
    return FSWritableFileOwnerWrapper::Append(data, options, verification, debug);
  }
  rocksdb::IOStatus Close(const rocksdb::IOOptions& options,
                          rocksdb::IODebugContext* debug) override {
    // Zeros that stay are only in the way: readers skip them.
    if (room_ > end_) Truncate(end_, options, debug).PermitUncheckedError();
    return FSWritableFileOwnerWrapper::Close(options, debug);
  }

 private:
  // Moves the log's end over `bytes` that are about to be appended.
  void MakeRoom(uint64_t bytes, const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) {
    // Never written, so that it takes no memory.
    static char zeros[kZerosAheadBytes];
    end_ += bytes;
    if (end_ <= room_ || !may_make_room_) return;
    // Beside the end of what Append writes to, which this does not move. A disk that cannot does
    // without.
    may_make_room_ =
        PositionedAppend(rocksdb::Slice(zeros, sizeof zeros), end_, options, debug).ok();
    if (may_make_room_) room_ = end_ + sizeof zeros;
  }

  uint64_t end_ = 0;
  uint64_t room_ = 0;  // The end of the zeros.
  bool may_make_room_ = true;
};

}  // namespace

ReadsWithoutWaiting::ReadsWithoutWaiting() { reads_without_waiting = true; }
ReadsWithoutWaiting::~ReadsWithoutWaiting() { reads_without_waiting = false; }

rocksdb::IOStatus GuardedDisk::NewRandomAccessFile(
    const std::string& name, const rocksdb::FileOptions& options,
    std::unique_ptr<rocksdb::FSRandomAccessFile>* result, rocksdb::IODebugContext* debug) {
  // RocksDB goes on where it could not read a table's properties or removed ranges as it opens it,
  // and keeps what it has opened.
  if (reads_without_waiting) return rocksdb::IOStatus::Busy("a table is opened by who may wait");
  rocksdb::IOStatus status = target()->NewRandomAccessFile(name, options, result, debug);
  if (status.ok() && name.ends_with(".sst")) {
    *result = std::make_unique<ReadTableFile>(std::move(*result), name);
  }
  return status;
}

rocksdb::IOStatus GuardedDisk::NewWritableFile(const std::string& name,
                                               const rocksdb::FileOptions& options,
                                               std::unique_ptr<rocksdb::FSWritableFile>* result,
                                               rocksdb::IODebugContext* debug) {
  rocksdb::IOStatus status = target()->NewWritableFile(name, options, result, debug);
  if (status.ok() && name.ends_with(".sst")) {
    *result = std::make_unique<TableFile>(std::move(*result), this, name);
  } else if (status.ok() && name.ends_with(".log")) {
    *result = std::make_unique<LogFile>(std::move(*result));
  }
  return status;
}

uint64_t GuardedDisk::FreeBytes(const std::string& path) {
  uint64_t bytes = 0;
  const rocksdb::IOStatus status = GetFreeSpace(path, rocksdb::IOOptions(), &bytes, nullptr);
  return status.ok() ? bytes : std::numeric_limits<uint64_t>::max();
}

}  // namespace annulus
