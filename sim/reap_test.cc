#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "core/ring/ring.h"
#include "core/version/stored.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/epochs.h"
#include "sim/auditor.h"
#include "sim/cluster.h"

namespace annulus::sim {
namespace {

// Stories of what is deleted for good, and of disks that are not what they were.
class ReapTest : public testing::TestWithParam<uint64_t> {
 protected:
  void Form(ClusterOptions options) {
    world_ = std::make_unique<World>(GetParam());
    cluster_ = std::make_unique<Cluster>(world_.get(), options);
    auditor_ = std::make_unique<Auditor>(cluster_.get());
    ASSERT_TRUE(cluster_->WaitReady());
    world_->RunFor(2s);
    partitions_ = options.partitions;
    owners_ = cluster_->OwnersOf(Client::ItemOf("k"));
    for (int i = 1; i <= cluster_->nodes(); ++i) {
      if (std::find(owners_.begin(), owners_.end(), i) == owners_.end()) strangers_.push_back(i);
    }
  }
  void TearDown() override {
    EXPECT_THAT(auditor_->violations(), testing::IsEmpty());
    auditor_.reset();
    cluster_.reset();
  }

  SimDisk& Disk(int node) { return cluster_->Node(node).disk(); }
  // The copies of "k" there are, marked ones too.
  int Copies() {
    const Bytes key = DataKey(Client::ItemOf("k"), partitions_);
    int copies = 0;
    for (int i = 1; i <= cluster_->nodes(); ++i) {
      copies += Disk(i).Peek(ColumnFamily::kData, key).has_value();
    }
    return copies;
  }
  PartitionEpochs EpochsOf(int node) {
    const Bytes key = EpochsKey(LeafOf(DataKey(Client::ItemOf("k"), partitions_)).partition);
    const std::optional<Bytes> bytes = Disk(node).Peek(ColumnFamily::kMeta, key);
    return bytes.has_value() ? *DecodeEpochs(*bytes) : PartitionEpochs();
  }
  bool RunUntilReaped(Duration limit = 60s) {
    return world_->RunUntil([&] { return Copies() == 0; }, limit);
  }
  NodeCounters CountersOf(int node) { return cluster_->Node(node).node()->Status().counters; }
  ReapView ReapOf(int node) { return cluster_->Node(node).node()->Status().reap; }
  Client At(int node) { return {cluster_.get(), node}; }
  // Puts and deletes "k", everywhere; returns the context that the delete was given.
  Bytes PutAndDelete() {
    Client client = At(owners_[0]);
    client.With(Consistency::kAll);
    absl::StatusOr<WriteAnswer> put = client.Put("k", "v");
    EXPECT_TRUE(put.ok()) << put.status();
    absl::StatusOr<WriteAnswer> deleted = client.Delete("k", put->context);
    EXPECT_TRUE(deleted.ok()) << deleted.status();
    return deleted->context;
  }
  void Restart(int node) {
    cluster_->Node(node).Restart();
    ASSERT_TRUE(world_->RunUntil([&] { return cluster_->Node(node).ready(); }, 30s));
  }

  std::unique_ptr<World> world_;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<Auditor> auditor_;
  std::vector<int> owners_;
  std::vector<int> strangers_;
  uint32_t partitions_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Seeds, ReapTest, testing::Range<uint64_t>(1, 6));

TEST_P(ReapTest, ATombstoneGoesForGoodAndItsOldContextCoversNothingThatComesLater) {
  Form({.nodes = 5});
  const Bytes old_context = PutAndDelete();
  ASSERT_TRUE(RunUntilReaped());
  EXPECT_EQ(At(strangers_[0]).Values("k"), "");
  Client client = At(owners_[1]);
  ASSERT_TRUE(client.Put("k", "again").ok());
  // Whoever held on to the context of the deleted value replaces nothing with it.
  ASSERT_TRUE(client.Put("k", "beside", old_context).ok());
  EXPECT_EQ(client.Values("k"), "again beside");
}

TEST_P(ReapTest, AReadWithAContextOfWhatWasReapedIsAnswered) {
  Form({.nodes = 4});
  const Bytes context = PutAndDelete();
  ASSERT_TRUE(RunUntilReaped());
  const absl::StatusOr<GetAnswer> answer = At(owners_[0]).GetAtLeast("k", context);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->siblings.empty());
}

TEST_P(ReapTest, AMemberThatDoesNotAnswerBlocksItAndIsNamed) {
  Form({.nodes = 5});
  const int away = strangers_[0];
  cluster_->Node(away).Crash();
  PutAndDelete();
  world_->RunFor(30s);
  EXPECT_EQ(Copies(), 3);
  const ReapView view = ReapOf(owners_[0]);
  EXPECT_EQ(view.blocked_by, std::vector<std::string>{absl::StrCat("node-", away)});
  EXPECT_EQ(view.blocked, 1u);
  Restart(away);
  EXPECT_TRUE(RunUntilReaped());
  world_->RunFor(10s);
  EXPECT_EQ(ReapOf(owners_[0]).blocked, 0u);
}

TEST_P(ReapTest, WhatExpiredIsDeletedOnceEveryClockSaysSo) {
  Form({.nodes = 3, .clock_skew_max = 20s});
  WriteRequest request{.item = Client::ItemOf("k"), .value = "v", .ttl_ms = 1000};
  ASSERT_TRUE(At(1).Write(std::move(request)).ok());
  world_->RunFor(15s);
  EXPECT_EQ(Copies(), 3);
  EXPECT_EQ(At(2).Values("k"), "");
  EXPECT_TRUE(RunUntilReaped());
}

TEST_P(ReapTest, ADiskThatIsOlderThanWhatWasReapedIsSetAsideAndNothingReturns) {
  Form({.nodes = 5});
  Client client = At(owners_[0]);
  client.With(Consistency::kAll);
  absl::StatusOr<WriteAnswer> put = client.Put("k", "v");
  ASSERT_TRUE(put.ok());
  const int old = owners_[2];
  const std::shared_ptr<const SimDisk::Image> image = Disk(old).Snapshot();
  ASSERT_TRUE(client.Delete("k", put->context).ok());
  ASSERT_TRUE(RunUntilReaped());

  cluster_->Node(old).Crash();
  Disk(old).Restore(*image);
  EXPECT_EQ(Copies(), 1);
  Restart(old);
  EXPECT_GE(CountersOf(old).partitions_set_aside, 1u);
  world_->RunFor(20s);
  EXPECT_EQ(Copies(), 0);
  EXPECT_EQ(At(old).With(Consistency::kOne).Values("k"), "");
  EXPECT_EQ(At(old).With(Consistency::kAll).Values("k"), "");
  EXPECT_EQ(ReapOf(old).rebuilding, 0u);
}

TEST_P(ReapTest, ADamagedRecordCountsForNoReadUntilItIsFetchedAgain) {
  Form({.nodes = 4});
  ASSERT_TRUE(At(owners_[0]).With(Consistency::kAll).Put("k", "v").ok());
  const int hurt = owners_[1];
  Random random(GetParam());
  Disk(hurt).Damage({ColumnFamily::kData, DataKey(Client::ItemOf("k"), partitions_)}, &random);
  // It is met, and others answer.
  EXPECT_EQ(At(hurt).Values("k"), "v");
  ASSERT_TRUE(world_->RunUntil([&] { return CountersOf(hurt).partitions_rebuilt == 1; }, 30s));
  EXPECT_EQ(CountersOf(hurt).records_damaged, 1u);
  for (const int owner : owners_) {
    if (owner != hurt) cluster_->Node(owner).Crash();
  }
  EXPECT_EQ(At(hurt).With(Consistency::kOne).Strict().Values("k"), "v");
}

TEST_P(ReapTest, ANodeServesNothingBeforeOthersHaveToldItWhereThingsStand) {
  Form({.nodes = 3});
  ASSERT_TRUE(At(1).With(Consistency::kAll).Put("k", "v").ok());
  for (int node : {1, 2, 3}) cluster_->Node(node).Crash();
  cluster_->Node(1).Restart();
  world_->RunFor(5s);
  EXPECT_FALSE(cluster_->Node(1).ready());
  EXPECT_EQ(At(1).With(Consistency::kOne).Strict().WithTimeout(3s).Values("k"), "NOT_READY");
  Restart(2);
  EXPECT_TRUE(world_->RunUntil([&] { return cluster_->Node(1).ready(); }, 5s));
  EXPECT_EQ(At(1).Strict().Values("k"), "v");
}

// Its own sync may still run when others have refused what it minted, since a round has ended
// meanwhile: what lies on its disk then is not what they are to say yes to.
TEST_P(ReapTest, WhatIsSentAgainUnderANewStampHasTheWriteInIt) {
  Form({.nodes = 4, .partitions = 1, .silence_max = 2s, .reap_interval = 100ms});
  const int minter = owners_[1], late = owners_[2];
  Disk(minter).set_conditions({.slow_by = 300ms});
  cluster_->net().SetPath(static_cast<uint16_t>(minter), static_cast<uint16_t>(late),
                          {.delay = 150ms, .reorder = 1});
  struct : NetWatcher {
    void OnAnswerArrived(uint16_t, uint16_t, uint64_t, const PeerResult& answer) override {
      refused += !answer.ok() && DetailsOf(answer.status()).reason == kReasonStaleStamp;
    }
    int refused = 0;
  } stale;
  cluster_->net().AddWatcher(&stale);
  Client client = At(minter), other = At(owners_[0]);
  client.With(Consistency::kAll);
  for (int i = 0; i < 40; ++i) {
    // Always something to reap.
    const std::string dead = absl::StrCat("dead-", i);
    if (const auto put = other.Put(dead, "v"); put.ok())
      other.Delete(dead, put->context).IgnoreError();
    for (int j = 0; j < 8; ++j) {
      client.StartPut("k", absl::StrCat(i, "-", j));
      world_->RunFor(35ms);
    }
  }
  cluster_->net().RemoveWatcher(&stale);
  EXPECT_GT(stale.refused, 0);
}

// Else a message of a lost disk's last life could pass for one of the new round.
TEST_P(ReapTest, NoEpochBeginsAgainWhateverDiskIsLost) {
  Form({.nodes = 5, .reap_interval = 300ms});
  // The driver is the first owner. One owner cannot raise: every round fails at its first step.
  const int driver = owners_[0], raises = owners_[1], full = owners_[2];
  Disk(full).set_conditions({.full = true});
  Client client = At(driver);
  const absl::StatusOr<WriteAnswer> put = client.Put("k", "v");
  ASSERT_TRUE(put.ok());
  ASSERT_TRUE(client.Delete("k", put->context).ok());
  world_->RunFor(5s);
  const Epoch raised = EpochsOf(raises).current;
  EXPECT_GT(raised, kFirstEpoch);
  // It raises itself last, so that no stamp is known to one disk alone.
  EXPECT_EQ(EpochsOf(driver).current, kFirstEpoch);
  EXPECT_GE(EpochsOf(driver).reserved, raised);

  cluster_->Node(raises).Crash();
  Disk(raises).Wipe();
  Restart(raises);
  Disk(full).set_conditions({});
  ASSERT_TRUE(RunUntilReaped());
  for (const int owner : owners_) EXPECT_GT(EpochsOf(owner).closed, raised) << owner;
}

}  // namespace
}  // namespace annulus::sim
