#include "disk.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/random.h"
#include "load/latency_histogram.h"
#include "nlohmann/json.hpp"
#include "rocksdb/db.h"
#include "rocksdb/write_batch.h"

namespace annulus::peers {
namespace {

using std::chrono::steady_clock;

constexpr size_t kKeys = 100'000;

double Since(steady_clock::time_point began) {
  return std::chrono::duration<double>(steady_clock::now() - began).count();
}

uint64_t SyncMicros(const std::string& path, double seconds) {
  const int file = open((path + "/log").c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
  ANNULUS_CHECK(file >= 0);
  const std::string record(150, 'r');
  load::LatencyHistogram taken;
  const auto began = steady_clock::now();
  while (Since(began) < seconds) {
    const auto at = steady_clock::now();
    ANNULUS_CHECK(write(file, record.data(), record.size()) == 150 && fdatasync(file) == 0);
    taken.Add(static_cast<uint64_t>(Since(at) * 1e6));
  }
  close(file);
  return taken.Quantile(0.5);
}

double PutsPerSecond(const std::string& path, bool sync, int batch_size, double seconds) {
  rocksdb::Options options;
  options.create_if_missing = true;
  rocksdb::DB* opened = nullptr;
  ANNULUS_CHECK(rocksdb::DB::Open(options, path, &opened).ok());
  const std::unique_ptr<rocksdb::DB> db(opened);
  rocksdb::WriteOptions write;
  write.sync = sync;
  Random random(1);
  const std::string value(100, 'v');
  uint64_t puts = 0;
  const auto began = steady_clock::now();
  while (Since(began) < seconds) {
    rocksdb::WriteBatch batch;
    for (int i = 0; i < batch_size; ++i, ++puts) {
      ANNULUS_CHECK(batch.Put(absl::StrFormat("key-%012d", random.Below(kKeys)), value).ok());
    }
    ANNULUS_CHECK(db->Write(write, &batch).ok());
  }
  return static_cast<double>(puts) / Since(began);
}

}  // namespace

int MeasureDisk(const std::string& path, double seconds) {
  const std::string own = absl::StrFormat("%s/disk.%d", path, getpid());
  std::filesystem::create_directories(own);
  const nlohmann::ordered_json json = {
      {"fdatasync_us", SyncMicros(own, seconds)},
      {"rocks_unsynced_per_s", PutsPerSecond(own + "/unsynced", false, 1, seconds)},
      {"rocks_synced_128_per_s", PutsPerSecond(own + "/synced", true, 128, seconds)}};
  std::filesystem::remove_all(own);
  std::printf("%s\n", json.dump().c_str());
  return 0;
}

}  // namespace annulus::peers
