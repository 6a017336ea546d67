// Where an item lives, and what its record costs: hash and owners, mint, merge, encode, decode.

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/random.h"
#include "core/layout/layout.h"
#include "core/ring/ring.h"
#include "core/version/record.h"
#include "core/version/stored.h"

namespace annulus {
namespace {

constexpr uint32_t kPartitions = 256;
constexpr size_t kValueBytes = 100;

Layout LayoutOf(size_t nodes) {
  std::vector<Member> members;
  for (size_t i = 0; i < nodes; ++i) {
    members.push_back({.id = NodeId(i + 1),
                       .name = absl::StrCat("node-", i),
                       .peer_address = absl::StrCat("node-", i, ":50052")});
  }
  auto layout =
      Layout::Form("bench", LayoutVersion(1), std::move(members), kPartitions, 3, nullptr);
  ANNULUS_CHECK(layout.ok());
  return *std::move(layout);
}

void OwnersOfAKey(benchmark::State& state) {
  const Layout layout = LayoutOf(static_cast<size_t>(state.range(0)));
  const std::string bucket = "default", key = "user-0123456789";
  for (auto _ : state) {
    const PartitionId partition = PartitionOf(RingHash(bucket, key), layout.partitions());
    benchmark::DoNotOptimize(layout.Owners(partition).front());
  }
}
BENCHMARK(OwnersOfAKey)->Arg(5)->Arg(64);

void DataKeyOfAnItem(benchmark::State& state) {
  const Item item{"default", "user-0123456789", ""};
  for (auto _ : state) benchmark::DoNotOptimize(DataKey(item, kPartitions));
}
BENCHMARK(DataKeyOfAnItem);

Record RecordWith(int64_t siblings) {
  Record record;
  for (int64_t i = 1; i <= siblings; ++i) {
    Write(&record, {},
          {.dot = {ActorId{7}, static_cast<uint64_t>(i)}, .value = Bytes(kValueBytes, 'v')});
  }
  return record;
}

// Each put replaces the last one, as with a context.
void MintOverContext(benchmark::State& state) {
  Random random(1);
  StoredRecord stored;
  VersionVector context;
  for (auto _ : state) {
    MintResult result =
        ApplyMint(&stored, {.context = std::move(context), .value = Bytes(kValueBytes, 'v')},
                  Incarnation{5}, {}, &random);
    context = std::move(result.context);
  }
}
BENCHMARK(MintOverContext);

void MergeANewerRecord(benchmark::State& state) {
  const Record older = RecordWith(1);
  Record newer = older;
  Write(&newer, older.vector, {.dot = {ActorId{7}, 2}, .value = Bytes(kValueBytes, 'w')});
  for (auto _ : state) {
    Record into = older;
    benchmark::DoNotOptimize(Merge(&into, newer));
  }
}
BENCHMARK(MergeANewerRecord);

void EncodeARecord(benchmark::State& state) {
  const Record record = RecordWith(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(Encode(record));
}
BENCHMARK(EncodeARecord)->Arg(1)->Arg(10);

void DecodeARecord(benchmark::State& state) {
  const Bytes bytes = Encode(RecordWith(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(DecodeRecord(bytes));
}
BENCHMARK(DecodeARecord)->Arg(1)->Arg(10);

void DigestOfARecord(benchmark::State& state) {
  const Item item{"default", "user-0123456789", ""};
  const Record record = RecordWith(1);
  for (auto _ : state) benchmark::DoNotOptimize(DigestOf(item, record));
}
BENCHMARK(DigestOfARecord);

}  // namespace
}  // namespace annulus
