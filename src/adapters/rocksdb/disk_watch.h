#pragma once

#include <string>

#include "rocksdb/listener.h"

namespace annulus {

// A read or background work met bytes that fail RocksDB's own checksums: marks the database, so
// that the next start sets it aside, and ends the process.
[[noreturn]] void EndDamaged(const std::string& path, const std::string& what,
                             const rocksdb::Status& damage);

// Hears of failures in RocksDB's own threads (flush, compaction, manifest), where no caller waits
// for the answer, and of these, which end the process whatever their errno:
// - a failed sync: one that fails for want of space leaves the same doubt as any other;
// - a failed append to the log: part of a record may be there, and RocksDB 7.8 may write on behind
// it.
class DiskWatch final : public rocksdb::EventListener {
 public:
  // As RocksOptions says.
  DiskWatch(std::string path, bool ends_when_damaged)
      : path_(std::move(path)), ends_when_damaged_(ends_when_damaged) {}

  bool ShouldBeNotifiedOnFileIO() override { return true; }  // OnIOError comes only with it.
  void OnIOError(const rocksdb::IOErrorInfo& info) override;
  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) override;

 private:
  const std::string path_;
  const bool ends_when_damaged_;
};

}  // namespace annulus
