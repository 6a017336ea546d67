// What a replica does for one put besides the disk, on a store in memory: latch, read, mint,
// encode, change of the leaf.

#include <benchmark/benchmark.h>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "node/map_storage_for_test.h"

namespace annulus {
namespace {

constexpr int64_t kKeys = 1000;

void ReplicaMint(benchmark::State& state) {
  ReplicaForTest at;
  VersionVector contexts[kKeys];
  int64_t next = 0;
  for (auto _ : state) {
    const int64_t key = next++ % kKeys;
    Mint mint{.context = contexts[key], .value = Bytes(100, 'v')};
    Place place{{"default", absl::StrCat("user-", key), ""}, NodeId()};
    const absl::StatusOr<Replica::Minted> minted = at.Run(
        at.replica.ApplyMint(std::move(place), std::move(mint), kForever, [](absl::Status) {}));
    ANNULUS_CHECK(minted.ok());
    contexts[key] = minted->result.context;
  }
}
BENCHMARK(ReplicaMint);

void ReplicaMerge(benchmark::State& state) {
  ReplicaForTest at;
  uint64_t counter = 0;
  Record record;
  for (auto _ : state) {
    Write(&record, record.vector, {.dot = {ActorId{9}, ++counter}, .value = Bytes(100, 'v')});
    Place place{{"default", "user-1", ""}, NodeId()};
    ANNULUS_CHECK(
        at.Run(at.replica.ApplyMerge(std::move(place), {Encode(record), kFirstEpoch})).ok());
  }
}
BENCHMARK(ReplicaMerge);

void ReplicaRead(benchmark::State& state) {
  ReplicaForTest at;
  const Item item{"default", "user-1", ""};
  Record record;
  Write(&record, {}, {.dot = {ActorId{9}, 1}, .value = Bytes(100, 'v')});
  ANNULUS_CHECK(
      at.Run(at.replica.ApplyMerge({item, NodeId()}, {Encode(record), kFirstEpoch})).ok());
  for (auto _ : state) {
    ANNULUS_CHECK(at.Run(at.replica.Read(item)).ok());
  }
}
BENCHMARK(ReplicaRead);

void BeginAndEndALeaf(benchmark::State& state) {
  ReplicaForTest at;
  HashTree tree(at.env, ReplicaForTest::kPartitions);
  uint32_t leaf = 0;
  for (auto _ : state) {
    const HashTree::Change change{{PartitionId(1), leaf++ % kLeavesPerPartition}, 77};
    StorageBatch batch;
    tree.Begin(change, &batch);
    tree.End(change, true);
    benchmark::DoNotOptimize(batch);
  }
}
BENCHMARK(BeginAndEndALeaf);

}  // namespace
}  // namespace annulus
