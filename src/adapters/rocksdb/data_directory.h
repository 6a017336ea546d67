#pragma once

#include <string>

#include "absl/status/status.h"

namespace annulus {

// How this Annulus lays out a data directory: column families, key and value encodings.
inline constexpr int kStorageFormat = 1;
// The file that says so: "<format> <version of the writer>". A file of its own and not a key,
// because a newer Annulus may come with a RocksDB whose files the one linked here cannot read.
inline constexpr char kFormatFile[] = "ANNULUS_FORMAT";

// Makes `path` a data directory, or finds that it is one, before RocksDB touches anything in it.
// FAILED_PRECONDITION: a newer format, or files of something else. DATA_LOSS: tables or logs
// without the file that names them (RocksDB would create an empty database over them). Others: the
// path cannot be created or written.
absl::Status PrepareDataDirectory(const std::string& path);

}  // namespace annulus
