#include "node/replica.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "task/manual_loop.h"

namespace annulus {
namespace {

const Item kItem{"default", "k", ""};

// Commits wait until they are let go, and then succeed or fail.
class HeldStorage : public Storage {
 public:
  void Read(ColumnFamily, Bytes key, ReadDone done) override {
    ++reads;
    auto found = entries.find(key);
    done(found == entries.end() ? std::nullopt : std::optional<Bytes>(found->second));
  }
  void Commit(StorageBatch batch, CommitDone done) override {
    held.emplace_back(std::move(batch), std::move(done));
  }
  void ReadRange(ColumnFamily, Bytes, Bytes, size_t, size_t, PageDone done) override {
    done(StoragePage{});
  }
  bool Syncs() const override { return true; }
  uint64_t Sequence() const override { return 0; }

  void LetGo(absl::Status status = absl::OkStatus()) {
    auto [batch, done] = std::move(held.front());
    held.pop_front();
    if (status.ok()) {
      for (StorageWrite& write : batch) {
        if (write.family == ColumnFamily::kData) entries[write.key] = *std::move(write.value);
      }
    }
    done(status);
  }

  std::map<Bytes, Bytes> entries;
  std::deque<std::pair<StorageBatch, CommitDone>> held;
  int reads = 0;
};

class ReplicaTest : public testing::Test {
 protected:
  ReplicaTest() { epochs_.Serve(LeafOf(DataKey(kItem, 256)).partition); }

  struct Result {
    std::optional<absl::StatusOr<Replica::Minted>> minted;
    std::optional<absl::Status> durable;
  };

  std::shared_ptr<Result> Mint(std::string value, VersionVector context = {}) {
    auto result = std::make_shared<Result>();
    annulus::Mint mint{.context = std::move(context), .value = std::move(value)};
    mint.request_id[0] = static_cast<char>(++requests_);
    group_.Spawn([](Replica* replica, annulus::Mint mint, Instant deadline,
                    std::shared_ptr<Result> result) -> Task<void> {
      Place place{kItem, NodeId()};
      Replica::DurableDone durable = [result](absl::Status status) {
        result->durable = std::move(status);
      };
      absl::StatusOr<Replica::Minted> minted = co_await replica->ApplyMint(
          std::move(place), std::move(mint), deadline, std::move(durable));
      result->minted = std::move(minted);
    }(&replica_, std::move(mint), deadline_, result));
    return result;
  }

  std::shared_ptr<std::optional<absl::Status>> Merge(const Record& record) {
    auto result = std::make_shared<std::optional<absl::Status>>();
    group_.Spawn([](Replica* replica, Bytes bytes, Instant deadline,
                    std::shared_ptr<std::optional<absl::Status>> result) -> Task<void> {
      Place place{kItem, NodeId()};
      Replica::Merging merging{std::move(bytes), kFirstEpoch, /*counted=*/false, deadline};
      absl::Status status = co_await replica->ApplyMerge(std::move(place), std::move(merging));
      *result = std::move(status);
    }(&replica_, Encode(record), deadline_, result));
    return result;
  }

  Record Stored() {
    std::optional<Record> found;
    group_.Spawn([](Replica* replica, std::optional<Record>* found) -> Task<void> {
      absl::StatusOr<Replica::Copy> read = co_await replica->Read(kItem);
      *found = std::move(read->record);
    }(&replica_, &found));
    return found.value_or(Record{});
  }

  ManualLoop loop_;
  HeldStorage storage_;
  Random random_{1};
  Env env_{.loop = &loop_, .storage = &storage_, .random = &random_};
  Epochs epochs_{env_, 256};
  Replica replica_{env_, Incarnation{5}, &epochs_, Replica::Options{}};
  Instant deadline_ = kForever;
  int requests_ = 0;
  TaskGroup group_;
};

TEST_F(ReplicaTest, AMintIsKnownBeforeItIsDurableAndReadOnlyAfter) {
  auto a = Mint("a");
  ASSERT_TRUE(a->minted.has_value());
  ASSERT_TRUE(a->minted->ok());
  EXPECT_FALSE(a->durable.has_value());
  EXPECT_TRUE(Stored().siblings.empty());
  storage_.LetGo();
  EXPECT_EQ(a->durable, absl::OkStatus());
  EXPECT_EQ(Stored().siblings.size(), 1u);
}

TEST_F(ReplicaTest, WhatWaitsForALatchSharesTheNextBatchAndReadsOnce) {
  Mint("a");
  auto b = Mint("b");
  auto c = Mint("c");
  EXPECT_FALSE(b->minted.has_value());
  storage_.LetGo();
  EXPECT_TRUE(b->minted.has_value());
  EXPECT_EQ(storage_.held.size(), 1u);
  storage_.LetGo();
  EXPECT_EQ(b->durable, absl::OkStatus());
  EXPECT_EQ(c->durable, absl::OkStatus());
  EXPECT_EQ(storage_.reads, 1);
  EXPECT_EQ(Stored().siblings.size(), 3u);
  EXPECT_EQ((*b->minted)->record, (*c->minted)->record);
}

TEST_F(ReplicaTest, DotsCountUpWithOneActorUntilACommitFails) {
  auto a = Mint("a");
  storage_.LetGo();
  auto b = Mint("b");
  const Dot lost = (*b->minted)->result.dot;
  EXPECT_EQ(lost.actor, (*a->minted)->result.dot.actor);
  EXPECT_EQ(lost.counter, 2u);
  storage_.LetGo(absl::ResourceExhaustedError("disk full"));
  EXPECT_TRUE(absl::IsResourceExhausted(*b->durable));
  auto c = Mint("c");
  EXPECT_NE((*c->minted)->result.dot.actor, lost.actor);  // The lost dot may have been sent.
  storage_.LetGo();
  EXPECT_EQ(Stored().siblings.size(), 2u);
}

TEST_F(ReplicaTest, AMergeThatChangesNothingNeedsNoCommit) {
  auto a = Mint("a");
  storage_.LetGo();
  auto merged = Merge(Stored());
  EXPECT_EQ(*merged, absl::OkStatus());
  EXPECT_TRUE(storage_.held.empty());
}

TEST_F(ReplicaTest, AMergeIsAnsweredWhenItIsDurable) {
  Record other;
  Write(&other, {}, {.dot = {ActorId{9}, 1}, .value = "o"});
  auto merged = Merge(other);
  EXPECT_FALSE(merged->has_value());
  storage_.LetGo();
  EXPECT_EQ(*merged, absl::OkStatus());
  EXPECT_EQ(Stored(), other);
}

TEST_F(ReplicaTest, AWriteThatWaitedPastItsDeadlineIsDropped) {
  Mint("a");
  deadline_ = loop_.Now() + 10ms;
  auto b = Mint("b");
  loop_.Advance(20ms);
  ASSERT_TRUE(
      b->minted.has_value());  // At its deadline, although the disk still works on the first.
  storage_.LetGo();
  EXPECT_TRUE(absl::IsDeadlineExceeded(b->minted->status()));
  EXPECT_EQ(DetailsOf(b->minted->status()).outcome, Outcome::kNotApplied);
  EXPECT_FALSE(b->durable.has_value());
  EXPECT_EQ(Stored().siblings.size(), 1u);
}

TEST_F(ReplicaTest, AMergeThatWaitedPastItsDeadlineIsDropped) {
  Mint("a");
  deadline_ = loop_.Now() + 10ms;
  Record other;
  Write(&other, {}, {.dot = {ActorId{9}, 1}, .value = "o"});
  auto merged = Merge(other);
  loop_.Advance(20ms);
  storage_.LetGo();
  ASSERT_TRUE(merged->has_value());
  EXPECT_TRUE(absl::IsDeadlineExceeded(**merged));
  EXPECT_TRUE(storage_.held.empty());
  EXPECT_EQ(Stored().siblings.size(), 1u);
}

TEST_F(ReplicaTest, DamagedBytesAreRefusedAndDamageOnDiskIsReported) {
  Bytes bytes = Encode(Record{});
  bytes.back() ^= 1;
  std::optional<absl::Status> status;
  group_.Spawn([](Replica* replica, Bytes bytes, std::optional<absl::Status>* out) -> Task<void> {
    Place place{kItem, NodeId()};
    Replica::Merging merging{std::move(bytes), kFirstEpoch};
    absl::Status merged = co_await replica->ApplyMerge(std::move(place), std::move(merging));
    *out = merged;
  }(&replica_, bytes, &status));
  EXPECT_TRUE(absl::IsDataLoss(*status));

  Mint("a");
  storage_.LetGo();
  storage_.entries.begin()->second[3] ^= 1;
  auto b = Mint("b");
  EXPECT_TRUE(absl::IsDataLoss(b->minted->status()));
  EXPECT_EQ(DetailsOf(b->minted->status()).outcome, Outcome::kNotApplied);
}

}  // namespace
}  // namespace annulus
