// The store under one node, without the node: commits/s by writers that each wait for their own
// sync, reads/s from memtable and cache, and reads that take the way over a reader thread. The
// directory is the current one's child, so that the disk is the one that is meant.

#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>

#include "absl/strings/str_format.h"
#include "adapters/rocksdb/rocks_storage.h"
#include "adapters/rocksdb/test_loop.h"
#include "base/check.h"
#include "base/random.h"

namespace annulus {
namespace {

constexpr size_t kValueBytes = 100;
constexpr uint64_t kKeys = 100'000;

std::string Key(uint64_t i) { return absl::StrFormat("key-%012d", i); }

class Store {
 public:
  explicit Store(bool sync = true) {
    std::filesystem::remove_all(path_);
    Open(sync);
  }
  ~Store() {
    storage_.reset();
    std::filesystem::remove_all(path_);
  }

  void Reopen() {
    storage_.reset();
    Open(true);
  }

  void Fill(size_t value_bytes) {
    uint64_t done = 0;
    for (uint64_t i = 0; i < kKeys; ++i) {
      storage_->Commit({{ColumnFamily::kData, Key(i), Bytes(value_bytes, 'v')}},
                       [&done](absl::Status status) {
                         ANNULUS_CHECK(status.ok());
                         ++done;
                       });
    }
    ANNULUS_CHECK(loop.RunUntil([&] { return done == kKeys; }));
  }

  RocksStorage* operator->() const { return storage_.get(); }

  TestLoop loop;

 private:
  void Open(bool sync) {
    auto opened = RocksStorage::Open({.path = path_, .sync = sync}, &loop);
    ANNULUS_CHECK(opened.ok());
    storage_ = *std::move(opened);
  }

  const std::string path_ = absl::StrFormat("rocks_storage_bench.%d", getpid());
  std::unique_ptr<RocksStorage> storage_;
};

void Commits(benchmark::State& state, bool sync) {
  const int64_t writers = state.range(0);
  Store store(sync);
  Random random(1);
  const Bytes value(kValueBytes, 'v');
  uint64_t done = 0;
  uint64_t called = 0;
  bool stop = false;
  std::function<void()> write = [&] {
    ++called;
    store->Commit({{ColumnFamily::kData, Key(random.Below(kKeys)), value}},
                  [&](absl::Status status) {
                    ANNULUS_CHECK(status.ok());
                    ++done;
                    if (!stop) write();
                  });
  };
  for (int64_t i = 0; i < writers; ++i) write();
  uint64_t seen = 0;
  for (auto _ : state) {
    ++seen;
    if (done < seen) store.loop.RunUntil([&] { return done >= seen; });
  }
  state.SetItemsProcessed(static_cast<int64_t>(seen));
  stop = true;
  store.loop.RunUntil([&] { return done == called; });
}
BENCHMARK_CAPTURE(Commits, Synced, true)->Arg(1)->Arg(64)->Arg(256)->UseRealTime();
BENCHMARK_CAPTURE(Commits, Unsynced, false)->Arg(1)->Arg(64)->Arg(256)->UseRealTime();

// What one sync costs here, to compare with: an append of the same size and fdatasync.
void RawSync(benchmark::State& state) {
  const std::string path = absl::StrFormat("rocks_storage_bench.%d.raw", getpid());
  std::FILE* file = std::fopen(path.c_str(), "wb");
  ANNULUS_CHECK(file != nullptr);
  const std::string record(150, 'r');
  for (auto _ : state) {
    ANNULUS_CHECK(write(fileno(file), record.data(), record.size()) == 150);
    ANNULUS_CHECK(fdatasync(fileno(file)) == 0);
  }
  std::fclose(file);
  std::filesystem::remove(path);
}
BENCHMARK(RawSync)->UseRealTime();

void Reads(benchmark::State& state, bool from_tables, uint64_t keys) {
  Store store;
  store.Fill(kValueBytes);
  if (from_tables) store.Reopen();
  Random random(1);
  uint64_t done = 0;
  uint64_t called = 0;
  const auto read = [&](uint64_t i) {
    ++called;
    store->Read(ColumnFamily::kData, Key(i), [&](absl::StatusOr<std::optional<Bytes>> value) {
      ANNULUS_CHECK(value.ok());
      ++done;
    });
  };
  for (uint64_t i = 0; i < kKeys; ++i) {  // Warms the cache.
    read(i);
    if (called - done > 1000) store.loop.RunUntil([&] { return done == called; });
  }
  store.loop.RunUntil([&] { return done == called; });
  for (auto _ : state) read(random.Below(keys));
  ANNULUS_CHECK(done == called);  // All were answered inline.
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(Reads, Memtable, false, kKeys);
BENCHMARK_CAPTURE(Reads, BlockCache, true, kKeys);
BENCHMARK_CAPTURE(Reads, BlockCacheAbsent, true, 2 * kKeys);

// Of the kernel's page cache, by a reader thread: pages leave the block cache alone.
void OffLoop(benchmark::State& state) {
  Store store;
  store.Fill(kValueBytes);
  store.Reopen();
  Random random(1);
  uint64_t done = 0;
  uint64_t called = 0;
  const uint64_t waiting = static_cast<uint64_t>(state.range(0));
  for (auto _ : state) {
    const std::string key = Key(random.Below(kKeys));
    ++called;
    store->ReadRange(ColumnFamily::kData, key, key + "~", 1, 1,
                     [&](absl::StatusOr<StoragePage> page) {
                       ANNULUS_CHECK(page.ok());
                       ++done;
                     });
    if (called - done >= waiting) store.loop.RunUntil([&] { return called - done < waiting; });
  }
  store.loop.RunUntil([&] { return done == called; });
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(OffLoop)->Arg(1)->Arg(64)->UseRealTime();

// Resident memory of a process that has opened an empty store, in MiB, and the time to open it.
void OpenEmpty(benchmark::State& state) {
  double resident_mib = 0;
  for (auto _ : state) {
    Store store;
    std::ifstream statm("/proc/self/statm");
    uint64_t pages_total = 0;
    uint64_t pages_resident = 0;
    statm >> pages_total >> pages_resident;
    resident_mib =
        static_cast<double>(pages_resident * static_cast<uint64_t>(getpagesize())) / 1048576.0;
  }
  state.counters["resident_MiB"] = resident_mib;
}
BENCHMARK(OpenEmpty)->UseRealTime()->Unit(benchmark::kMillisecond);

// What a start costs that must replay a log of 100,000 commits.
void OpenAfterKill(benchmark::State& state) {
  for (auto _ : state) {
    state.PauseTiming();
    Store store;
    store.Fill(kValueBytes);
    state.ResumeTiming();
    store.Reopen();
    state.PauseTiming();
    store->Commit({}, [](absl::Status) {});
    state.ResumeTiming();
  }
}
BENCHMARK(OpenAfterKill)->UseRealTime()->Unit(benchmark::kMillisecond)->Iterations(3);

}  // namespace
}  // namespace annulus
