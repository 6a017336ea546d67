#include "node/record_cache.h"

#include <gtest/gtest.h>

#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/map_storage_for_test.h"

namespace annulus {
namespace {

constexpr ColumnFamily kData = ColumnFamily::kData;

// A store that counts reads, and may keep their answers for a while.
class SlowStorage final : public MapStorage {
 public:
  void Read(ColumnFamily family, Bytes key, ReadDone done) override {
    ++reads;
    if (!holds_reads) return MapStorage::Read(family, std::move(key), std::move(done));
    auto found = entries.find({family, key});
    std::optional<Bytes> value;
    if (found != entries.end()) value = found->second;
    waiting.emplace_back(std::move(done), std::move(value));
  }
  void AnswerReads() {
    for (auto& [done, value] : std::exchange(waiting, {})) done(std::move(value));
  }

  int reads = 0;
  bool holds_reads = false;
  std::deque<std::pair<ReadDone, std::optional<Bytes>>> waiting;
};

class RecordCacheTest : public ::testing::Test {
 protected:
  // "-" where there is nothing, "?" where there is no answer yet.
  std::string Read(const Bytes& key, ColumnFamily family = kData) {
    std::string text = "?";
    cache_->Read(family, key, [&text](absl::StatusOr<std::optional<Bytes>> value) {
      text = !value.ok() ? "error" : value->value_or("-");
    });
    return text;
  }
  void Put(const Bytes& key, std::optional<Bytes> value) {
    cache_->Commit({{kData, key, std::move(value)}}, [](absl::Status) {});
  }

  SlowStorage store_;
  std::optional<RecordCache> cache_{std::in_place, &store_, 64 << 10};
};

TEST_F(RecordCacheTest, WhatWasReadIsReadFromMemory) {
  store_.entries[{kData, "k"}] = "v";
  EXPECT_EQ(Read("k"), "v");
  EXPECT_EQ(Read("k"), "v");
  EXPECT_EQ(store_.reads, 1);
  EXPECT_EQ(cache_->hits(), 1u);
  EXPECT_EQ(cache_->misses(), 1u);
}

TEST_F(RecordCacheTest, WhatIsNotThereIsLookedUpEachTime) {
  EXPECT_EQ(Read("k"), "-");
  EXPECT_EQ(Read("k"), "-");
  EXPECT_EQ(store_.reads, 2);
}

TEST_F(RecordCacheTest, OtherFamiliesGoThrough) {
  store_.entries[{ColumnFamily::kMeta, "k"}] = "meta";
  store_.entries[{kData, "k"}] = "data";
  EXPECT_EQ(Read("k"), "data");
  EXPECT_EQ(Read("k", ColumnFamily::kMeta), "meta");
  cache_->Commit({{ColumnFamily::kMeta, "k", "other"}}, [](absl::Status) {});
  EXPECT_EQ(Read("k"), "data");
}

TEST_F(RecordCacheTest, ACommitIsSeenOnceItIsAcknowledged) {
  Put("k", "old");
  store_.holds = true;
  Put("k", "new");
  EXPECT_EQ(Read("k"), "old") << "not durable yet";
  store_.LetGo();
  EXPECT_EQ(Read("k"), "new");
  EXPECT_EQ(store_.reads, 0);
  store_.holds = false;
  Put("k", std::nullopt);
  EXPECT_EQ(Read("k"), "-");
}

TEST_F(RecordCacheTest, AfterAFailedCommitTheStoreIsAsked) {
  Put("k", "old");
  store_.fails = absl::ResourceExhaustedError("full");
  Put("k", "new");
  EXPECT_EQ(Read("k"), "old");
  EXPECT_EQ(store_.reads, 1);
}

TEST_F(RecordCacheTest, AReadThatACommitOvertookIsNotHeld) {
  store_.entries[{kData, "k"}] = "old";
  store_.holds_reads = true;
  std::string late;
  cache_->Read(kData, "k", [&](absl::StatusOr<std::optional<Bytes>> value) { late = **value; });
  Put("k", "new");
  store_.AnswerReads();
  EXPECT_EQ(late, "old") << "as it was when it was asked for";
  EXPECT_EQ(Read("k"), "new");
}

TEST_F(RecordCacheTest, ARemovedRangeIsForgotten) {
  for (const char* key : {"a", "b1", "b2", "c"}) Put(key, key);
  StorageBatch batch;
  batch.push_back({.family = kData, .key = "b", .end = "c"});
  cache_->Commit(std::move(batch), [](absl::Status) {});
  EXPECT_EQ(Read("b1"), "-");
  EXPECT_EQ(Read("b2"), "-");
  EXPECT_EQ(store_.reads, 2);
  EXPECT_EQ(Read("a"), "a");
  EXPECT_EQ(Read("c"), "c");
  EXPECT_EQ(store_.reads, 2);
}

TEST_F(RecordCacheTest, AReadThatTheRemovalOfItsRangeOvertookIsNotHeld) {
  store_.entries[{kData, "k"}] = "old";
  store_.holds_reads = true;
  cache_->Read(kData, "k", [](absl::StatusOr<std::optional<Bytes>>) {});
  StorageBatch batch;
  batch.push_back({.family = kData, .key = "a", .end = "z"});
  cache_->Commit(std::move(batch), [](absl::Status) {});
  store_.AnswerReads();
  store_.holds_reads = false;
  EXPECT_EQ(Read("k"), "-");
}

TEST_F(RecordCacheTest, TheLeastRecentlyUsedGoesFirst) {
  for (int i = 0; i < 1000; ++i) {
    Put(absl::StrCat(i), Bytes(100, 'v'));
    EXPECT_EQ(Read("0"), Bytes(100, 'v'));
    EXPECT_LE(cache_->bytes(), 64u << 10);
  }
  EXPECT_EQ(store_.reads, 0) << "the one that was read all the time is there";
  Read("999");
  EXPECT_EQ(store_.reads, 0);
  Read("1");
  EXPECT_EQ(store_.reads, 1);
}

TEST_F(RecordCacheTest, WhatIsTooLargeDrivesNothingOut) {
  Put("small", "v");
  Put("large", "v");
  Put("large", Bytes(10'000, 'v'));
  EXPECT_EQ(Read("large").size(), 10'000u);
  EXPECT_EQ(store_.reads, 1);
  EXPECT_EQ(Read("small"), "v");
  EXPECT_EQ(store_.reads, 1);
}

TEST_F(RecordCacheTest, OfNoSizeHoldsNothing) {
  cache_.emplace(&store_, 0);
  Put("k", "v");
  EXPECT_EQ(Read("k"), "v");
  EXPECT_EQ(Read("k"), "v");
  EXPECT_EQ(store_.reads, 2);
}

TEST_F(RecordCacheTest, AnswersThatComeAfterItsEndAreGivenAllTheSame) {
  store_.holds = true;
  bool done = false;
  cache_->Commit({{kData, "k", "v"}}, [&](absl::Status) { done = true; });
  cache_.reset();
  store_.LetGo();
  EXPECT_TRUE(done);
}

}  // namespace
}  // namespace annulus
