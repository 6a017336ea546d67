#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "rocksdb/file_system.h"

namespace annulus {

// The disk as RocksDB sees it: the last of the space is kept out of its hands, its log lies in
// blocks that were written before, and a thread may read tables without waiting
// (ReadsWithoutWaiting).
//
// A sync of a file that has grown writes its new size too: another write to the disk, through the
// file system's journal where it has one. So the log is kept ahead of itself by zeros, which its
// records overwrite: such a sync takes two thirds of the time (ext4 without a journal).
// RocksDB's reader skips zeros; a log that is closed is cut to its length.
//
// RocksDB 7.8 recovers from a full disk when a table could not be written, but not when an append
// to the log failed halfway: it may go on with the same log behind the torn record. So the log must
// never meet a full disk. Two marks see to it: tables (flushes and compactions, which can eat any
// space) fail with NoSpace while some space is left, and commits are refused, before RocksDB hears
// of them, while still enough is left for the log records that are under way. What only removes is
// refused later: hints that were delivered make room once they are compacted.
inline constexpr uint64_t kTablesFreeBytesMin = 48u << 20;
inline constexpr uint64_t kCommitsFreeBytesMin = 24u << 20;
inline constexpr uint64_t kRemovalsFreeBytesMin = 12u << 20;

class GuardedDisk final : public rocksdb::FileSystemWrapper {
 public:
  explicit GuardedDisk(const std::shared_ptr<rocksdb::FileSystem>& disk)
      : rocksdb::FileSystemWrapper(disk) {}

  const char* Name() const override { return "GuardedDisk"; }

  rocksdb::IOStatus NewRandomAccessFile(const std::string& name,
                                        const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                                        rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext* debug) override;

  // Bytes that this process can still write where `path` is; the maximum where nobody can tell.
  uint64_t FreeBytes(const std::string& path);
};

// While it lives, what this thread reads of tables comes out of the kernel's memory or ends as
// Busy: the disk is not waited for. Linux tells the two apart where the file system can
// (RWF_NOWAIT: ext4, XFS, Btrfs and others); elsewhere all such reads are Busy.
// To open a table is Busy too, whatever is in memory: RocksDB keeps one that it could only half
// read.
class ReadsWithoutWaiting {
 public:
  ReadsWithoutWaiting();
  ~ReadsWithoutWaiting();
  ReadsWithoutWaiting(const ReadsWithoutWaiting&) = delete;
  ReadsWithoutWaiting& operator=(const ReadsWithoutWaiting&) = delete;
};

}  // namespace annulus
