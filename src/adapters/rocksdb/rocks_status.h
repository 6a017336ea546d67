#pragma once

#include <string>

#include "absl/status/status.h"
#include "rocksdb/status.h"

namespace annulus {

bool IsNoSpace(const rocksdb::Status& status);

// RESOURCE_EXHAUSTED, reason "DISK_FULL", and when to try again.
absl::Status DiskFull(const std::string& message);

// Of a DATA_LOSS that another try, or a mended cable, may undo.
inline constexpr char kReasonUnreadable[] = "UNREADABLE";

// The error as Storage speaks of it. `doing` and `path` start the message: "reading /data: ...".
// No space is RESOURCE_EXHAUSTED; damaged or unreadable bytes are DATA_LOSS.
absl::Status FromRocks(const rocksdb::Status& status, const char* doing, const std::string& path);

// Says what failed, on standard error, and ends the process: nobody can know what is on the disk
// now, and a later sync may report success over pages that the kernel has thrown away.
[[noreturn]] void Die(const std::string& what, const std::string& path,
                      const rocksdb::Status& status);

}  // namespace annulus
