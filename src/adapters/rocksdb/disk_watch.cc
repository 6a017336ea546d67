#include "adapters/rocksdb/disk_watch.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "adapters/rocksdb/data_directory.h"
#include "adapters/rocksdb/rocks_status.h"

namespace annulus {

void EndDamaged(const std::string& path, const std::string& what, const rocksdb::Status& damage) {
  // Where even the mark cannot be written, the next start meets the damage again, in its time.
  MarkDamaged(path, damage.ToString()).IgnoreError();
  Die(absl::StrCat(what, " met damage"), path, damage);
}

void DiskWatch::OnIOError(const rocksdb::IOErrorInfo& info) {
  const bool is_log = absl::EndsWith(info.file_path, ".log");
  switch (info.operation) {
    case rocksdb::FileOperationType::kSync:
    case rocksdb::FileOperationType::kFsync:
    case rocksdb::FileOperationType::kRangeSync:
      Die(absl::StrCat("syncing ", info.file_path), path_, info.io_status);
    case rocksdb::FileOperationType::kAppend:
    case rocksdb::FileOperationType::kFlush:
      if (is_log) Die(absl::StrCat("writing ", info.file_path), path_, info.io_status);
      return;
    default:
      return;
  }
}

void DiskWatch::OnBackgroundError(rocksdb::BackgroundErrorReason /*reason*/,
                                  rocksdb::Status* error) {
  // Damage: RocksDB stops to write, reads go on, commits and reads say DATA_LOSS from here on.
  if (error->IsCorruption()) {
    if (ends_when_damaged_) EndDamaged(path_, "background work", *error);
    return;
  }
  // From a hard error RocksDB recovers by itself once there is space again, from a fatal one never.
  // A process that starts anew either finds space or says at the start that there is none.
  if (IsNoSpace(*error) && error->severity() < rocksdb::Status::Severity::kFatalError) return;
  Die("background work", path_, *error);
}

}  // namespace annulus
