#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "rocksdb/env.h"
#include "rocksdb/file_system.h"

namespace annulus {

// A disk for tests whose logs can be slow, full or broken. The switches may be moved at any time
// from any thread; they act on the log only, which is where commits are.
class FaultyDisk final : public rocksdb::FileSystemWrapper {
 public:
  FaultyDisk() : rocksdb::FileSystemWrapper(rocksdb::FileSystem::Default()) {}

  std::atomic<bool> hold_syncs{false};  // Syncs wait until it is false again.
  std::atomic<int> syncs_waiting{0};    // How many wait now.
  std::atomic<bool> fail_syncs{false};  // Syncs fail for want of space, writes succeed.
  std::atomic<bool> full{false};        // Writes fail for want of space, half of each is written.
  std::atomic<int64_t> free_bytes{-1};  // What it says is free; negative: the truth.
  std::atomic<bool> broken{false};      // Writes fail.

  const char* Name() const override { return "FaultyDisk"; }

  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext* debug) override {
    rocksdb::IOStatus status = target()->NewWritableFile(name, options, result, debug);
    if (status.ok() && name.ends_with(".log")) {
      *result = std::make_unique<LogFile>(std::move(*result), this);
    }
    return status;
  }

  rocksdb::IOStatus GetFreeSpace(const std::string& path, const rocksdb::IOOptions& options,
                                 uint64_t* bytes, rocksdb::IODebugContext* debug) override {
    if (free_bytes < 0) return target()->GetFreeSpace(path, options, bytes, debug);
    *bytes = static_cast<uint64_t>(free_bytes.load());
    return rocksdb::IOStatus::OK();
  }

 private:
  class LogFile final : public rocksdb::FSWritableFileOwnerWrapper {
   public:
    LogFile(std::unique_ptr<rocksdb::FSWritableFile> file, FaultyDisk* disk)
        : rocksdb::FSWritableFileOwnerWrapper(std::move(file)), disk_(disk) {}

    using rocksdb::FSWritableFileOwnerWrapper::Append;
    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override {
      if (disk_->broken) return rocksdb::IOStatus::IOError("planted");
      if (disk_->full) {
        const rocksdb::Slice half(data.data(), data.size() / 2);
        FSWritableFileOwnerWrapper::Append(half, options, debug).PermitUncheckedError();
        return rocksdb::IOStatus::NoSpace("planted");
      }
      return FSWritableFileOwnerWrapper::Append(data, options, debug);
    }
    rocksdb::IOStatus Sync(const rocksdb::IOOptions& options,
                           rocksdb::IODebugContext* debug) override {
      if (disk_->fail_syncs) return rocksdb::IOStatus::NoSpace("planted");
      ++disk_->syncs_waiting;
      disk_->hold_syncs.wait(true);
      --disk_->syncs_waiting;
      return FSWritableFileOwnerWrapper::Sync(options, debug);
    }

   private:
    FaultyDisk* const disk_;
  };
};

}  // namespace annulus
