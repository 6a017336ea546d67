#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace annulus {

// How this Annulus lays out a data directory: column families, key and value encodings.
inline constexpr int kStorageFormat = 1;
// The file that says so: "<format> <version of the writer>". A file of its own and not a key,
// because a newer Annulus may come with a RocksDB whose files the one linked here cannot read.
inline constexpr char kFormatFile[] = "ANNULUS_FORMAT";

// What is in it says why the database must not be opened again.
inline constexpr char kDamagedFile[] = "ANNULUS_DAMAGED";
// Databases that were set aside: this, and a number from 1.
inline constexpr char kQuarantinePrefix[] = "quarantine-";

// Makes `path` a data directory, or finds that it is one, before RocksDB touches anything in it.
// FAILED_PRECONDITION: a newer format, or files of something else. DATA_LOSS: tables or logs
// without the file that names them (RocksDB would create an empty database over them), or marked as
// damaged. Others: the path cannot be created or written.
absl::Status PrepareDataDirectory(const std::string& path);

// Notes durably that the database under `path` is damaged: whoever opens it next gets DATA_LOSS.
absl::Status MarkDamaged(const std::string& path, const std::string& why);

// Moves the database under `path` to a new directory beneath it, the name of which it returns, and
// leaves an empty data directory. Nothing is deleted. One that is cut short goes on at the next
// call, in another directory. FAILED_PRECONDITION where somebody has the database open.
absl::StatusOr<std::string> SetDatabaseAside(const std::string& path);
// How many were.
int DatabasesSetAside(const std::string& path);

}  // namespace annulus
