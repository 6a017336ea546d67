#include "node/hash_tree.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/planted.h"
#include "task/await.h"
#include "task/sleep.h"

namespace annulus {
namespace {

constexpr size_t kPageEntries = 256;
constexpr size_t kPageBytes = 1 << 20;
constexpr int kRecomputeTries = 8;
constexpr Duration kRecomputePause = 20ms;
// How long the last try waits for changes that are on their way to the disk.
constexpr Duration kHoldMax = 2s;
constexpr Duration kHoldLook = 1ms;

// Neighbours among ascending leaves are one range of keys.
struct LeafRun {
  uint32_t first;
  uint32_t last;
};
std::vector<LeafRun> RunsOf(const std::vector<uint32_t>& leaves) {
  std::vector<LeafRun> runs;
  for (uint32_t leaf : leaves) {
    if (!runs.empty() && runs.back().last + 1 == leaf) {
      runs.back().last = leaf;
    } else {
      runs.push_back({leaf, leaf});
    }
  }
  return runs;
}

}  // namespace

class HashTree::Watch {
 public:
  Watch(HashTree* tree, PartitionId partition) : tree_(tree), partition_(partition) {
    touched_ = tree->partitions_[partition.value()].changing > 0;
    tree->watches_.push_back(this);
  }
  Watch(HashTree* tree, LeafId id) : tree_(tree), partition_(id.partition), leaf_(id.leaf) {
    touched_ = tree->changing_.contains(Number(id));
    tree->watches_.push_back(this);
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch() { std::erase(tree_->watches_, this); }

  void Note(LeafId id) {
    touched_ |= id.partition == partition_ && (!leaf_.has_value() || *leaf_ == id.leaf);
  }
  bool touched() const { return touched_; }

 private:
  HashTree* tree_;
  PartitionId partition_;
  std::optional<uint32_t> leaf_;  // Nullopt: all of the partition.
  bool touched_ = false;
};

class HashTree::Hold {
 public:
  Hold(HashTree* tree, LeafId id) : tree_(tree), id_(id) { tree->held_.insert(Number(id)); }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
  ~Hold() { tree_->held_.erase(Number(id_)); }

 private:
  HashTree* tree_;
  LeafId id_;
};

absl::StatusOr<uint64_t> HashTree::DigestOfEntry(const Bytes& data_key, const Bytes& value) {
  absl::StatusOr<ParsedDataKey> key = ParseDataKey(data_key);
  if (!key.ok()) return key.status();
  absl::StatusOr<StoredRecord> stored = DecodeStored(value);
  if (!stored.ok()) {
    on_damage_(data_key);
    return stored.status();
  }
  return LeafDigest(key->item, *stored);
}

HashTree::HashTree(Env env, uint32_t partitions) : env_(env), partitions_(partitions) {}

void HashTree::Begin(const Change& change, StorageBatch* batch) {
  ++partitions_[change.leaf.partition.value()].changing;
  ++changing_[Number(change.leaf)];
  for (Watch* watch : watches_) watch->Note(change.leaf);
  if (change.delta == 0 || PlantedBugs::Has(PlantedBug::kLeafNotInBatch)) return;
  Bytes delta;
  PutFixed64(&delta, change.delta);
  batch->push_back({.family = ColumnFamily::kTree,
                    .key = TreeKey(change.leaf),
                    .value = std::move(delta),
                    .mixes = true});
}

void HashTree::End(const Change& change, bool committed) {
  Partition& partition = partitions_[change.leaf.partition.value()];
  --partition.changing;
  const auto changing = changing_.find(Number(change.leaf));
  if (--changing->second == 0) changing_.erase(changing);
  if (committed && partition.root.has_value()) *partition.root ^= change.delta;
}

Task<absl::StatusOr<uint64_t>> HashTree::Root(PartitionId partition) {
  if (const auto& root = partitions_[partition.value()].root; root.has_value()) co_return *root;
  absl::StatusOr<Leaves> leaves = co_await ReadLeaves(partition);
  if (!leaves.ok()) co_return leaves.status();
  co_return RootOf(*leaves);
}

Task<absl::StatusOr<Leaves>> HashTree::ReadLeaves(PartitionId partition) {
  Watch watch(this, partition);
  KeyRange range = TreeRange(partition);
  absl::StatusOr<StoragePage> page = co_await ReadPage(ColumnFamily::kTree, std::move(range.begin),
                                                       std::move(range.end), kLeavesPerPartition);
  if (!page.ok()) co_return page.status();
  Leaves leaves(kLeavesPerPartition, 0);
  for (const auto& [key, value] : page->entries) {
    absl::StatusOr<LeafId> id = ParseTreeKey(key);
    if (!id.ok()) co_return id.status();
    ByteReader reader(value);
    reader.Fixed64(&leaves[id->leaf]);
    if (!reader.done()) co_return absl::DataLossError("a leaf of a hash tree is damaged");
  }
  if (!watch.touched()) partitions_[partition.value()].root = RootOf(leaves);
  co_return leaves;
}

Task<absl::StatusOr<HashTree::KeyPage>> HashTree::ListKeys(PartitionId partition,
                                                           std::vector<uint32_t> leaves,
                                                           Bytes begin, size_t bytes_max) {
  KeyPage listed;
  const std::vector<LeafRun> runs = RunsOf(leaves);
  KeyRange whole = PartitionRange(partition);
  Bytes cursor = std::max(std::move(begin), whole.begin);
  size_t bytes = 0;
  while (true) {
    Bytes from = cursor;
    Bytes to = whole.end;
    absl::StatusOr<StoragePage> first =
        co_await ReadPage(ColumnFamily::kData, std::move(from), std::move(to), 1);
    if (!first.ok()) co_return first.status();
    if (first->entries.empty()) co_return listed;
    const Bytes bucket(BucketOf(first->entries.front().first));
    for (const LeafRun& run : runs) {
      const KeyRange range = LeafRange(partition, bucket, run.first, run.last);
      cursor = std::max(std::move(cursor), range.begin);
      while (cursor < range.end) {
        from = cursor;
        to = range.end;
        absl::StatusOr<StoragePage> page =
            co_await ReadPage(ColumnFamily::kData, std::move(from), std::move(to), kPageEntries);
        if (!page.ok()) co_return page.status();
        for (const auto& [key, value] : page->entries) {
          absl::StatusOr<uint64_t> digest = DigestOfEntry(key, value);
          if (!digest.ok()) co_return digest.status();
          cursor = Successor(key);
          if (*digest == 0) continue;
          listed.keys.push_back({key, *digest});
          bytes += key.size() + sizeof(uint64_t);
          if (bytes < bytes_max) continue;
          listed.next = std::move(cursor);
          co_return listed;
        }
        if (!page->more) break;
      }
    }
    cursor = BucketRange(partition, bucket).end;
  }
}

Task<absl::StatusOr<bool>> HashTree::Recompute(LeafId id) {
  for (int i = 0; i < kRecomputeTries; ++i) {
    if (i > 0) co_await Sleep(env_.loop, kRecomputePause);
    std::optional<Hold> hold;
    if (i == kRecomputeTries - 1 && !IsHeld(id)) {
      hold.emplace(this, id);
      const Instant until = env_.loop->Now() + kHoldMax;
      while (changing_.contains(Number(id)) && env_.loop->Now() < until) {
        co_await Sleep(env_.loop, kHoldLook);
      }
    }
    Watch watch(this, id);
    if (watch.touched()) continue;
    absl::StatusOr<uint64_t> stored = co_await ReadLeaf(id);
    if (!stored.ok()) co_return stored.status();
    uint64_t computed = 0;
    Bytes begin;
    do {
      std::vector<uint32_t> leaves = {id.leaf};
      absl::StatusOr<KeyPage> page =
          co_await ListKeys(id.partition, std::move(leaves), std::move(begin), kPageBytes);
      if (!page.ok()) co_return page.status();
      for (const KeyDigest& key : page->keys) computed ^= key.digest;
      begin = std::move(page->next);
    } while (!begin.empty() && !watch.touched());
    if (watch.touched()) continue;

    if (*stored == computed) co_return false;
    const Change change{id, *stored ^ computed};
    StorageBatch batch;
    Begin(change, &batch);
    absl::Status committed = co_await Await<absl::Status>(
        [&](auto done) { env_.storage->Commit(std::move(batch), std::move(done)); });
    End(change, committed.ok());
    // The root was made of the leaf as it was, or follows changes that the leaf does not have.
    partitions_[id.partition.value()].root.reset();
    if (!committed.ok()) co_return committed;
    co_return true;
  }
  co_return absl::UnavailableError("the leaf changes all the time");
}

Task<absl::StatusOr<Leaves>> HashTree::ComputeLeaves(PartitionId partition) {
  Leaves leaves(kLeavesPerPartition, 0);
  absl::Status damaged;  // All damage is met, not only the first.
  KeyRange range = PartitionRange(partition);
  while (true) {
    Bytes from = range.begin;
    Bytes to = range.end;
    absl::StatusOr<StoragePage> page =
        co_await ReadPage(ColumnFamily::kData, std::move(from), std::move(to), kPageEntries);
    if (!page.ok()) co_return page.status();
    for (const auto& [key, value] : page->entries) {
      absl::StatusOr<uint64_t> digest = DigestOfEntry(key, value);
      if (digest.ok()) {
        leaves[LeafOf(key).leaf] ^= *digest;
      } else {
        damaged = digest.status();
      }
    }
    if (!page->more) {
      if (!damaged.ok()) co_return damaged;
      co_return leaves;
    }
    range.begin = Successor(page->entries.back().first);
  }
}

Task<absl::StatusOr<uint32_t>> HashTree::Correct(PartitionId partition) {
  absl::StatusOr<Leaves> computed = co_await ComputeLeaves(partition);
  if (!computed.ok()) co_return computed.status();
  absl::StatusOr<Leaves> stored = co_await ReadLeaves(partition);
  if (!stored.ok()) co_return stored.status();
  uint32_t corrected = 0;
  absl::Status failed;
  for (uint32_t leaf = 0; leaf < kLeavesPerPartition; ++leaf) {
    if ((*computed)[leaf] == (*stored)[leaf]) continue;
    // Or it changed while it was looked at: this looks exactly.
    LeafId id{partition, leaf};
    absl::StatusOr<bool> wrong = co_await Recompute(id);
    if (wrong.ok()) {
      corrected += *wrong;
    } else {
      failed = wrong.status();
    }
  }
  if (!failed.ok()) co_return failed;
  co_return corrected;
}

Task<absl::StatusOr<uint64_t>> HashTree::ReadLeaf(LeafId id) {
  using Found = absl::StatusOr<std::optional<Bytes>>;
  Bytes key = TreeKey(id);
  Found bytes = co_await Await<Found>(
      [&](auto done) { env_.storage->Read(ColumnFamily::kTree, std::move(key), std::move(done)); });
  if (!bytes.ok()) co_return bytes.status();
  uint64_t leaf = 0;
  if (!bytes->has_value()) co_return leaf;
  ByteReader reader(**bytes);
  reader.Fixed64(&leaf);
  if (!reader.done()) co_return absl::DataLossError("a leaf of a hash tree is damaged");
  co_return leaf;
}

Task<absl::StatusOr<StoragePage>> HashTree::ReadPage(ColumnFamily family, Bytes begin, Bytes end,
                                                     size_t entries_max) {
  absl::StatusOr<StoragePage> page = co_await Await<absl::StatusOr<StoragePage>>([&](auto done) {
    env_.storage->ReadRange(family, std::move(begin), std::move(end), entries_max, kPageBytes,
                            std::move(done));
  });
  co_return page;
}

}  // namespace annulus
