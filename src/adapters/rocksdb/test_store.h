#pragma once

#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "adapters/rocksdb/rocks_storage.h"
#include "adapters/rocksdb/test_loop.h"
#include "base/check.h"

namespace annulus {

// An empty directory that goes with it.
class TestDirectory {
 public:
  TestDirectory() {
    std::string path = (std::filesystem::temp_directory_path() / "annulus_rocks_XXXXXX").string();
    ANNULUS_CHECK(mkdtemp(path.data()) != nullptr);
    path_ = path;
  }
  ~TestDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::string path(const std::string& below = "") const {
    return below.empty() ? path_ : path_ + "/" + below;
  }

 private:
  std::string path_;
};

// A store that waits for its answers, for tests that read better so.
class TestStore {
 public:
  explicit TestStore(RocksOptions options) : options_(std::move(options)) {
    if (options_.memory_bytes == 0) options_.memory_bytes = 32u << 20;
  }
  explicit TestStore(std::string path) : TestStore(RocksOptions{.path = std::move(path)}) {}

  absl::Status Open() {
    absl::StatusOr<std::unique_ptr<RocksStorage>> opened = RocksStorage::Open(options_, &loop);
    if (!opened.ok()) return opened.status();
    storage = *std::move(opened);
    return absl::OkStatus();
  }
  void Close() { storage.reset(); }

  absl::Status Commit(StorageBatch batch) {
    std::optional<absl::Status> result;
    storage->Commit(std::move(batch), [&](absl::Status status) { result = std::move(status); });
    ANNULUS_CHECK(loop.RunUntil([&] { return result.has_value(); }));
    return *result;
  }
  absl::Status Put(Bytes key, Bytes value, ColumnFamily family = ColumnFamily::kData) {
    return Commit({{family, std::move(key), std::move(value)}});
  }
  absl::Status Remove(Bytes key, ColumnFamily family = ColumnFamily::kData) {
    return Commit({{family, std::move(key), std::nullopt}});
  }

  absl::StatusOr<std::optional<Bytes>> Read(Bytes key, ColumnFamily family = ColumnFamily::kData) {
    std::optional<absl::StatusOr<std::optional<Bytes>>> result;
    storage->Read(family, std::move(key),
                  [&](absl::StatusOr<std::optional<Bytes>> value) { result = std::move(value); });
    ANNULUS_CHECK(loop.RunUntil([&] { return result.has_value(); }));
    return *std::move(result);
  }
  // "-" where there is none, the error's code where it fails.
  std::string Text(Bytes key, ColumnFamily family = ColumnFamily::kData) {
    absl::StatusOr<std::optional<Bytes>> value = Read(std::move(key), family);
    if (!value.ok()) return absl::StatusCodeToString(value.status().code());
    return value->value_or("-");
  }

  absl::StatusOr<StoragePage> Range(Bytes begin, Bytes end, size_t entries_max = 1000,
                                    size_t bytes_max = 1u << 20,
                                    ColumnFamily family = ColumnFamily::kData) {
    std::optional<absl::StatusOr<StoragePage>> result;
    storage->ReadRange(family, std::move(begin), std::move(end), entries_max, bytes_max,
                       [&](absl::StatusOr<StoragePage> page) { result = std::move(page); });
    ANNULUS_CHECK(loop.RunUntil([&] { return result.has_value(); }));
    return *std::move(result);
  }

  TestLoop loop;
  std::unique_ptr<RocksStorage> storage;

 private:
  RocksOptions options_;
};

}  // namespace annulus
