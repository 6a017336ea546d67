#include "adapters/rocksdb/guarded_disk.h"

#include <limits>
#include <utility>

namespace annulus {

namespace {

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

}  // namespace

rocksdb::IOStatus GuardedDisk::NewWritableFile(const std::string& name,
                                               const rocksdb::FileOptions& options,
                                               std::unique_ptr<rocksdb::FSWritableFile>* result,
                                               rocksdb::IODebugContext* debug) {
  rocksdb::IOStatus status = target()->NewWritableFile(name, options, result, debug);
  if (status.ok() && name.ends_with(".sst")) {
    *result = std::make_unique<TableFile>(std::move(*result), this, name);
  }
  return status;
}

uint64_t GuardedDisk::FreeBytes(const std::string& path) {
  uint64_t bytes = 0;
  const rocksdb::IOStatus status = GetFreeSpace(path, rocksdb::IOOptions(), &bytes, nullptr);
  return status.ok() ? bytes : std::numeric_limits<uint64_t>::max();
}

}  // namespace annulus
