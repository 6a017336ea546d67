#include "adapters/rocksdb/rocks_status.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/error.h"

namespace annulus {

bool IsNoSpace(const rocksdb::Status& status) {
  return status.IsNoSpace() ||
         (status.IsIOError() && status.subcode() == rocksdb::Status::SubCode::kSpaceLimit);
}

absl::Status DiskFull(const std::string& message) {
  // As often as RocksDB looks for space.
  return WithDetails(absl::ResourceExhaustedError(message),
                     {.reason = kReasonDiskFull, .retry_after = 5s});
}

absl::Status FromRocks(const rocksdb::Status& status, const char* doing, const std::string& path) {
  if (status.ok()) return absl::OkStatus();
  const std::string message = absl::StrCat(doing, " ", path, ": ", status.ToString());
  if (IsNoSpace(status)) {
    return DiskFull(absl::StrCat(message, "; free disk space, writes go on by themselves then"));
  }
  // An I/O error here comes from reading (one from writing ends the process): a sector that cannot
  // be read is as lost as one that reads wrong, for now at least.
  if (status.IsIOError()) {
    return WithDetails(absl::DataLossError(message), {.reason = kReasonUnreadable});
  }
  if (status.IsCorruption()) return absl::DataLossError(message);
  return absl::InternalError(message);
}

void Die(const std::string& what, const std::string& path, const rocksdb::Status& status) {
  const std::string line = absl::StrCat("annulus: the disk failed, the process ends: ", what,
                                        " under ", path, ": ", status.ToString(), "\n");
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
  std::abort();
}

}  // namespace annulus
