#include "sim/sim_disk.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace annulus::sim {
namespace {

constexpr ColumnFamily kData = ColumnFamily::kData;

class SimDiskTest : public testing::TestWithParam<uint64_t> {
 protected:
  void Open(bool sync = true) {
    disk_ = std::make_unique<SimDisk>(&world_, 1, sync);
    Reopen();
  }
  void Reopen() {
    loop_ = world_.NewLoop(1);
    storage_ = disk_->Open(loop_);
  }
  void Crash() {
    loop_->Kill();
    storage_.reset();
  }
  void TearDown() override { Crash(); }

  // "key=value"; the status arrives in statuses_.
  void Put(Bytes key, Bytes value) {
    const size_t put = statuses_.size();
    statuses_.push_back(absl::UnknownError("pending"));
    world_.At(loop_, world_.now(), [=, this] {
      storage_->Commit({{kData, key, value}},
                       [this, put](absl::Status status) { statuses_[put] = std::move(status); });
    });
    world_.RunFor(10us);
  }
  std::optional<Bytes> Get(const Bytes& key) {
    std::optional<Bytes> value;
    bool done = false;
    storage_->Read(kData, key, [&](absl::StatusOr<std::optional<Bytes>> read) {
      value = *read;
      done = true;
    });
    world_.RunFor(1ms);
    EXPECT_TRUE(done);
    return value;
  }

  World world_{GetParam()};
  std::unique_ptr<SimDisk> disk_;
  SimLoop* loop_ = nullptr;
  std::unique_ptr<SimStorage> storage_;
  std::vector<absl::Status> statuses_;
};

INSTANTIATE_TEST_SUITE_P(Seeds, SimDiskTest, testing::Range<uint64_t>(1, 21));

TEST_P(SimDiskTest, WhatWasAcknowledgedIsReadableAndSurvivesACrash) {
  Open();
  Put("k", "v");
  EXPECT_EQ(disk_->Peek(kData, "k"), std::nullopt);  // Nothing unsynced is read.
  world_.RunFor(50ms);
  EXPECT_TRUE(statuses_[0].ok());
  EXPECT_EQ(Get("k"), "v");
  Crash();
  Reopen();
  EXPECT_EQ(Get("k"), "v");
  EXPECT_EQ(disk_->stats().lost_batches, 0u);
}

TEST_P(SimDiskTest, ACrashKeepsAPrefixOfWhatWasNotSynced) {
  Open();
  for (char i = 'a'; i <= 'e'; ++i) Put(Bytes(1, i), "v");
  Crash();
  Reopen();
  bool gone = false;
  size_t kept = 0;
  for (char i = 'a'; i <= 'e'; ++i) {
    const bool here = disk_->Peek(kData, Bytes(1, i)).has_value();
    EXPECT_FALSE(here && gone);
    gone = gone || !here;
    kept += here;
  }
  EXPECT_EQ(disk_->stats().lost_batches, 5 - kept);
  for (const absl::Status& status : statuses_) EXPECT_FALSE(status.ok());
}

TEST_P(SimDiskTest, ATornGroupLosesItsTailAndKeepsItsFront) {
  Open();
  for (char i = 'a'; i <= 'e'; ++i) Put(Bytes(1, i), "v");
  disk_->TearNext();
  Crash();
  EXPECT_NE(disk_->Peek(kData, "a"), std::nullopt);
  EXPECT_EQ(disk_->Peek(kData, "e"), std::nullopt);
  EXPECT_EQ(disk_->stats().crashes_that_lost, 1u);
}

TEST_P(SimDiskTest, ADamagedValueComesBackAlteredUntilItIsWrittenAgain) {
  Open();
  Put("k", "value");
  world_.RunFor(50ms);
  Random random(GetParam());
  const std::optional<SimDisk::Place> place = disk_->PickPlace(&random);
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->key, "k");
  disk_->Damage(*place, &random);
  absl::StatusOr<std::optional<Bytes>> read = std::nullopt;
  storage_->Read(kData, "k",
                 [&](absl::StatusOr<std::optional<Bytes>> found) { read = std::move(found); });
  world_.RunFor(1ms);
  EXPECT_NE(**read, "value");
  Put("k", "value");
  world_.RunFor(50ms);
  EXPECT_EQ(Get("k"), "value");
}

TEST_P(SimDiskTest, ADiskCanBePutBackOrWiped) {
  Open();
  Put("k", "old");
  world_.RunFor(50ms);
  const std::shared_ptr<const SimDisk::Image> image = disk_->Snapshot();
  Put("k", "new");
  world_.RunFor(50ms);
  Crash();
  disk_->Restore(*image);
  EXPECT_EQ(disk_->Peek(kData, "k"), "old");
  disk_->Wipe();
  EXPECT_EQ(disk_->Peek(kData, "k"), std::nullopt);
  Reopen();
}

TEST_P(SimDiskTest, WhoWaitsForAWriteIsToldWhileItIsUnsyncedAndOnce) {
  Open();
  int told = 0;
  disk_->OnNextWrite(ColumnFamily::kHint, [&] { ++told; });
  Put("k", "v");
  EXPECT_EQ(told, 0);
  disk_->OnNextWrite(kData, [&] {
    ++told;
    EXPECT_EQ(disk_->Peek(kData, "l"), std::nullopt);
  });
  Put("l", "v");
  Put("m", "v");
  EXPECT_EQ(told, 1);
}

TEST_P(SimDiskTest, WritesThatArriveDuringASyncShareTheNext) {
  Open();
  Put("a", "1");
  for (int i = 0; i < 9; ++i) Put("b", "2");
  world_.RunFor(100ms);
  EXPECT_EQ(disk_->stats().commits, 10u);
  EXPECT_EQ(disk_->stats().syncs, 2u);
  for (const absl::Status& status : statuses_) EXPECT_TRUE(status.ok());
}

TEST_P(SimDiskTest, WithSyncOffAnAcknowledgedWriteCanBeForgotten) {
  Open(/*sync=*/false);
  EXPECT_FALSE(storage_->Syncs());
  Put("old", "v");
  world_.RunFor(2s);
  Put("k", "v1");
  world_.RunFor(10ms);
  Put("k", "v2");
  world_.RunFor(10ms);
  EXPECT_TRUE(statuses_[2].ok());
  EXPECT_EQ(Get("k"), "v2");
  Crash();
  Reopen();
  EXPECT_EQ(Get("old"), "v");  // The disk had followed.
  EXPECT_NE(Get("k"), "v2");
  EXPECT_GE(disk_->stats().lost_batches, 1u);
}

TEST_P(SimDiskTest, AFullDiskRefusesAndWritesNothing) {
  Open();
  Put("k", "v");
  world_.RunFor(50ms);
  disk_->set_conditions({.full = true});
  Put("k", "w");
  world_.RunFor(50ms);
  EXPECT_EQ(statuses_[1].code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Get("k"), "v");
  disk_->set_conditions({});
  Put("k", "w");
  world_.RunFor(50ms);
  EXPECT_EQ(Get("k"), "w");
}

TEST_P(SimDiskTest, AFailedCommitLeavesItsNeighboursAlone) {
  Open();
  Put("first", "v");
  disk_->set_conditions({.commit_failure = 1});
  Put("bad", "v");
  disk_->set_conditions({});
  Put("good", "v");
  world_.RunFor(100ms);
  EXPECT_EQ(statuses_[1].code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(statuses_[2].ok());
  EXPECT_EQ(Get("bad"), std::nullopt);
  EXPECT_EQ(Get("good"), "v");
}

TEST_P(SimDiskTest, MixedWritesAddUpAndAreUndone) {
  Open(/*sync=*/false);
  auto mix = [this](uint64_t number) {
    Bytes bytes;
    PutFixed64(&bytes, number);
    storage_->Commit(
        {{.family = ColumnFamily::kTree, .key = "leaf", .value = bytes, .mixes = true}},
        [](absl::Status status) { EXPECT_TRUE(status.ok()); });
  };
  auto leaf = [this] {
    uint64_t number = 0;
    const std::optional<Bytes> bytes = disk_->Peek(ColumnFamily::kTree, "leaf");
    if (bytes.has_value()) ByteReader(*bytes).Fixed64(&number);
    return number;
  };
  world_.At(loop_, world_.now(), [&] {
    mix(5);
    mix(0x8000000000000001u);
  });
  world_.RunFor(2s);  // The disk has followed.
  EXPECT_EQ(leaf(), 0x8000000000000004u);
  world_.At(loop_, world_.now(), [&] {
    mix(16);
    mix(32);
  });
  world_.RunFor(100ms);
  EXPECT_EQ(leaf(), 0x8000000000000034u);
  Crash();
  Reopen();
  EXPECT_NE(leaf(), 0x8000000000000034u);
  EXPECT_EQ(leaf() & ~uint64_t{16}, 0x8000000000000004u);
}

TEST_P(SimDiskTest, NoCrashMakesTheSequenceFallBelowWhatItSaid) {
  for (const bool sync : {true, false}) {
    Open(sync);
    uint64_t said = 0;
    for (int life = 0; life < 5; ++life) {
      for (char i = 'a'; i <= 'e'; ++i) {
        Put(Bytes(1, i), "v");
        world_.RunFor(Duration(GetParam() * 100'000));
        EXPECT_GE(storage_->Sequence(), said);
        said = storage_->Sequence();
      }
      Crash();
      Reopen();
      EXPECT_GE(storage_->Sequence(), said);
    }
    Put("k", "v");
    world_.RunFor(2s);
    EXPECT_GT(storage_->Sequence(), said);
    if (sync) Crash();
  }
}

TEST_P(SimDiskTest, TheSequenceGoesWithTheDisk) {
  Open();
  Put("k", "old");
  world_.RunFor(50ms);
  EXPECT_EQ(disk_->sequence(), 1u);
  const std::shared_ptr<const SimDisk::Image> image = disk_->Snapshot();
  Put("k", "new");
  world_.RunFor(50ms);
  EXPECT_EQ(disk_->sequence(), 2u);
  Crash();
  disk_->Restore(*image);
  EXPECT_EQ(disk_->sequence(), 1u);
  disk_->Wipe();
  EXPECT_EQ(disk_->sequence(), 0u);
  Reopen();
}

TEST_P(SimDiskTest, RangesComeInPages) {
  Open();
  for (char i = 'a'; i <= 'f'; ++i) Put(Bytes(1, i), "v");
  world_.RunFor(50ms);
  StoragePage page;
  storage_->ReadRange(kData, "b", "e", 2, 1000,
                      [&](absl::StatusOr<StoragePage> read) { page = *std::move(read); });
  world_.RunFor(1ms);
  ASSERT_EQ(page.entries.size(), 2u);
  EXPECT_EQ(page.entries[0].first, "b");
  EXPECT_TRUE(page.more);
  storage_->ReadRange(kData, "d", "e", 2, 1000,
                      [&](absl::StatusOr<StoragePage> read) { page = *std::move(read); });
  world_.RunFor(1ms);
  ASSERT_EQ(page.entries.size(), 1u);
  EXPECT_FALSE(page.more);
}

}  // namespace
}  // namespace annulus::sim
