#include "node/hash_tree.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "task/manual_loop.h"
#include "task/sleep.h"
#include "task/spawn.h"

namespace annulus {
namespace {

constexpr uint32_t kPartitions = 2;

// Commits and pages wait until they are let go.
class HeldStorage : public Storage {
 public:
  using Key = std::pair<ColumnFamily, Bytes>;

  void Read(ColumnFamily family, Bytes key, ReadDone done) override {
    const auto found = entries.find({family, key});
    done(found == entries.end() ? std::nullopt : std::optional<Bytes>(found->second));
  }
  void Commit(StorageBatch batch, CommitDone done) override {
    commits.push_back([this, batch = std::move(batch), done = std::move(done)](bool ok) mutable {
      if (ok) Apply(batch);
      done(ok ? absl::OkStatus() : absl::ResourceExhaustedError("full"));
    });
  }
  void ReadRange(ColumnFamily family, Bytes begin, Bytes end, size_t entries_max, size_t,
                 PageDone done) override {
    auto answer = [this, family, begin, end, entries_max, done = std::move(done)]() mutable {
      StoragePage page;
      for (auto it = entries.lower_bound({family, begin}); it != entries.end(); ++it) {
        if (it->first >= Key{family, end}) break;
        if (page.entries.size() == entries_max) {
          page.more = true;
          break;
        }
        page.entries.emplace_back(it->first.second, it->second);
      }
      done(std::move(page));
    };
    if (hold_pages) {
      pages.push_back(std::move(answer));
    } else {
      answer();
    }
  }
  bool Syncs() const override { return true; }
  uint64_t Sequence() const override { return 0; }

  void LetCommitGo(bool ok = true) {
    auto commit = std::move(commits.front());
    commits.pop_front();
    commit(ok);
  }
  void Apply(const StorageBatch& batch) {
    for (const StorageWrite& write : batch) {
      Bytes& value = entries[{write.family, write.key}];
      if (!write.mixes) {
        value = *write.value;
        continue;
      }
      uint64_t before = 0, delta = 0;
      ByteReader(value).Fixed64(&before);
      ByteReader(*write.value).Fixed64(&delta);
      value.clear();
      PutFixed64(&value, before ^ delta);
    }
  }

  std::map<Key, Bytes> entries;
  std::deque<absl::AnyInvocable<void(bool)>> commits;
  std::deque<absl::AnyInvocable<void()>> pages;
  bool hold_pages = false;
};

class HashTreeTest : public testing::Test {
 protected:
  // A record of the key, in no batch with its leaf: as if the leaf had been forgotten.
  Bytes PutWithoutLeaf(const Item& item, const Bytes& value) {
    StoredRecord stored;
    ApplyMint(&stored, Mint{.value = value}, Incarnation(1), Limits{}, &random_);
    const Bytes key = DataKey(item, kPartitions);
    storage_.entries[{ColumnFamily::kData, key}] = Encode(stored);
    digests_[key] = LeafDigest(item, stored);
    return key;
  }
  Bytes Put(const Item& item, const Bytes& value) {
    const Bytes key = PutWithoutLeaf(item, value);
    const HashTree::Change change{LeafOf(key), digests_[key]};
    StorageBatch batch;
    tree_.Begin(change, &batch);
    storage_.Apply(batch);
    tree_.End(change, true);
    return key;
  }
  Item ItemOf(const std::string& bucket, int i) { return {bucket, absl::StrCat("key-", i), ""}; }

  template <class T>
  std::shared_ptr<std::optional<absl::StatusOr<T>>> Start(Task<absl::StatusOr<T>> task) {
    auto result = std::make_shared<std::optional<absl::StatusOr<T>>>();
    group_.Spawn([](Task<absl::StatusOr<T>> task,
                    std::shared_ptr<std::optional<absl::StatusOr<T>>> result) -> Task<void> {
      absl::StatusOr<T> value = co_await task;
      *result = std::move(value);
    }(std::move(task), result));
    return result;
  }
  template <class T>
  T Run(Task<absl::StatusOr<T>> task) {
    auto result = Start<T>(std::move(task));
    loop_.Run();
    return **std::move(*result);
  }

  ManualLoop loop_;
  HeldStorage storage_;
  Random random_{1};
  HashTree tree_{Env{.loop = &loop_, .storage = &storage_, .random = &random_}, kPartitions};
  std::map<Bytes, uint64_t> digests_;
  TaskGroup group_;
};

TEST_F(HashTreeTest, LeavesFollowChangesAndFailedOnesLeaveNoTrace) {
  Put(ItemOf("default", 1), "a");
  const HashTree::Change first{{PartitionId(0), 7}, 1};
  const HashTree::Change second{{PartitionId(0), 7}, 2};
  const HashTree::Change failed{{PartitionId(0), 7}, 4};
  const uint64_t before = Run(tree_.Root(PartitionId(0)));
  for (const HashTree::Change& change : {first, second, failed}) {
    StorageBatch batch;
    tree_.Begin(change, &batch);
    const bool ok = change.delta != failed.delta;
    if (ok) storage_.Apply(batch);
    tree_.End(change, ok);
  }
  EXPECT_EQ(Run(tree_.Root(PartitionId(0))), before ^ 3);
  const Leaves leaves = Run(tree_.ReadLeaves(PartitionId(0)));
  EXPECT_EQ(leaves[7] & 7, 3u);
  EXPECT_EQ(RootOf(leaves), before ^ 3);
}

TEST_F(HashTreeTest, ARootReadDuringAChangeIsNotKept) {
  const HashTree::Change change{{PartitionId(1), 7}, 5};
  StorageBatch batch;
  tree_.Begin(change, &batch);
  EXPECT_EQ(Run(tree_.Root(PartitionId(1))), 0u);
  storage_.Apply(batch);  // Readable before it is acknowledged.
  EXPECT_EQ(Run(tree_.Root(PartitionId(1))), 5u);
  tree_.End(change, true);
  EXPECT_EQ(Run(tree_.Root(PartitionId(1))), 5u);
}

TEST_F(HashTreeTest, ListsTheKeysOfSomeLeavesOverAllBucketsInPages) {
  for (const char* bucket : {"a", "ab", "b"}) {
    for (int i = 0; i < 300; ++i) Put(ItemOf(bucket, i), "v");
  }
  std::vector<uint32_t> leaves;
  for (uint32_t leaf = 0; leaf < 400; ++leaf) {
    if (leaf % 7 < 4) leaves.push_back(leaf);
  }
  std::vector<KeyDigest> expected;
  for (const auto& [key, digest] : digests_) {
    const LeafId id = LeafOf(key);
    if (id.partition == PartitionId(1) && id.leaf < 400 && id.leaf % 7 < 4) {
      expected.push_back({key, digest});
    }
  }
  ASSERT_GT(expected.size(), 50u);
  std::vector<KeyDigest> listed;
  Bytes begin;
  int pages = 0;
  do {
    HashTree::KeyPage page = Run(tree_.ListKeys(PartitionId(1), leaves, begin, 300));
    listed.insert(listed.end(), page.keys.begin(), page.keys.end());
    begin = page.next;
    ++pages;
  } while (!begin.empty());
  EXPECT_EQ(listed, expected);
  EXPECT_GT(pages, 3);
}

// An item that is written all the time must not keep its leaf wrong.
TEST_F(HashTreeTest, ALeafThatChangesAllTheTimeIsHeldAndRecomputed) {
  const LeafId id{PartitionId(1), 7};
  bool held = false;
  int64_t changes = 0;
  // Begins the next change as the last one ends, as a replica does; but not while it has to wait.
  TaskGroup writers;
  const auto write = [](HashTree* tree, Loop* loop, LeafId id, bool* held,
                        int64_t* changes) -> Task<void> {
    while (true) {
      while (tree->IsHeld(id)) {
        *held = true;
        co_await Sleep(loop, 1ms);
      }
      const HashTree::Change change{id, 0};
      StorageBatch batch;
      tree->Begin(change, &batch);
      co_await Sleep(loop, 5ms);
      tree->End(change, true);
      ++*changes;
    }
  };
  writers.Spawn(write(&tree_, &loop_, id, &held, &changes));
  auto wrong = Start<bool>(tree_.Recompute(id));
  loop_.Advance(5s);
  ASSERT_TRUE(wrong->has_value());
  EXPECT_TRUE((*wrong)->ok()) << (*wrong)->status();
  EXPECT_TRUE(held);
  EXPECT_FALSE(tree_.IsHeld(id));
  EXPECT_GT(changes, 500);
}

TEST_F(HashTreeTest, ALeafIsRecomputedFromItsItems) {
  const Bytes key = PutWithoutLeaf(ItemOf("default", 1), "v");
  const LeafId id = LeafOf(key);
  Run(tree_.Root(id.partition));
  auto wrong = Start<bool>(tree_.Recompute(id));
  loop_.Run();
  ASSERT_EQ(storage_.commits.size(), 1u);
  storage_.LetCommitGo();
  loop_.Run();
  EXPECT_TRUE(***wrong);
  EXPECT_EQ(Run(tree_.ReadLeaves(id.partition))[id.leaf], digests_[key]);
  EXPECT_EQ(Run(tree_.Root(id.partition)), digests_[key]);
  EXPECT_EQ(Run(tree_.ComputeLeaves(id.partition)), Run(tree_.ReadLeaves(id.partition)));
  EXPECT_FALSE(Run(tree_.Recompute(id)));
}

TEST_F(HashTreeTest, AChangeDuringARecomputationMakesItLookAgain) {
  const Bytes key = PutWithoutLeaf(ItemOf("default", 1), "v");
  const LeafId id = LeafOf(key);
  storage_.hold_pages = true;
  auto wrong = Start<bool>(tree_.Recompute(id));
  loop_.Run();
  // While it looks at the data, another item of the leaf changes.
  const HashTree::Change change{id, 5};
  StorageBatch batch;
  tree_.Begin(change, &batch);
  storage_.hold_pages = false;
  storage_.pages.front()();
  loop_.Run();
  EXPECT_TRUE(storage_.commits.empty());
  storage_.Apply(batch);
  tree_.End(change, true);
  loop_.Advance(100ms);
  ASSERT_EQ(storage_.commits.size(), 1u);
  storage_.LetCommitGo();
  loop_.Run();
  EXPECT_TRUE(***wrong);
  EXPECT_EQ(Run(tree_.ReadLeaves(id.partition))[id.leaf], digests_[key]);
}

}  // namespace
}  // namespace annulus
