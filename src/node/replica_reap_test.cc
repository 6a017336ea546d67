#include <gtest/gtest.h>

#include "core/error.h"
#include "core/reap/dead.h"
#include "node/map_storage_for_test.h"
#include "node/record_cache.h"

namespace annulus {
namespace {

const Item kItem{"default", "k", ""};
const Bytes kKey = DataKey(kItem, ReplicaForTest::kPartitions);
const PartitionId kPartition = LeafOf(kKey).partition;

class ReplicaReapTest : public testing::Test {
 protected:
  static Record Deleted() {
    Record record;
    Write(&record, {}, Sibling{.dot = {ActorId{9}, 1}, .value = "v"});
    Write(&record, record.vector, Sibling{.dot = {ActorId{9}, 2}, .tombstone = true});
    return record;
  }
  absl::Status Merge(const Record& record, Epoch stamp = kFirstEpoch) {
    return at_.Run(at_.replica.ApplyMerge({kItem, NodeId()}, {Encode(record), stamp}));
  }
  StoredRecord Stored() {
    const auto found = at_.storage.entries.find({ColumnFamily::kData, kKey});
    return found == at_.storage.entries.end() ? StoredRecord() : *DecodeStored(found->second);
  }
  uint64_t DigestHere() {
    const Replica::Copy copy = *at_.Run(at_.replica.Read(kItem));
    return copy.record.has_value() ? LeafDigest(kItem, *copy.record, copy.marked) : 0;
  }
  // Up to where marks are allowed.
  void BeginRound(Epoch epoch) {
    ASSERT_EQ(at_.Run(at_.epochs.Raise(kPartition, epoch)), absl::OkStatus());
    ASSERT_EQ(at_.Run(at_.epochs.Close(kPartition, epoch)), absl::OkStatus());
  }
  absl::Status Mark(Epoch epoch) {
    return at_.Run(at_.replica.Mark(kKey, DigestOf(kItem, Deleted()), epoch));
  }
  absl::Status Reap(Epoch epoch) { return at_.Run(at_.replica.Reap(kKey, epoch)); }
  uint64_t Root() { return *at_.Run(at_.replica.tree().Root(kPartition)); }
  size_t Dying() { return at_.storage.CountOf(ColumnFamily::kMeta, DyingRange(kPartition)); }
  size_t Marks() { return at_.storage.CountOf(ColumnFamily::kMeta, MarkRange(kPartition)); }
  static std::string ReasonOf(const absl::Status& status) { return DetailsOf(status).reason; }

  ReplicaForTest at_;
};

TEST_F(ReplicaReapTest, ATombstoneIsMarkedThenDeletedAndLeavesNothing) {
  ASSERT_EQ(Merge(Deleted()), absl::OkStatus());
  EXPECT_EQ(Dying(), 1u);
  BeginRound(Epoch(2));
  EXPECT_TRUE(*at_.Run(at_.replica.IsEligible(kKey, DigestOf(kItem, Deleted()))));
  EXPECT_EQ(Mark(Epoch(2)), absl::OkStatus());
  EXPECT_EQ(Root(), 0u);  // In no leaf any more,
  EXPECT_EQ(DigestHere(), 0u);
  EXPECT_EQ(at_.Run(at_.replica.Read(kItem))->record, Deleted());  // but still read.
  EXPECT_EQ(Marks(), 1u);
  EXPECT_EQ(Reap(Epoch(2)), absl::OkStatus());
  EXPECT_EQ(at_.storage.CountOf(ColumnFamily::kData, PartitionRange(kPartition)), 0u);
  EXPECT_EQ(Dying() + Marks(), 0u);
  EXPECT_EQ(Root(), 0u);
}

TEST_F(ReplicaReapTest, OnlyWhatIsUnchangedSinceTheRaiseIsMarked) {
  BeginRound(Epoch(2));
  ASSERT_EQ(Merge(Deleted(), Epoch(2)), absl::OkStatus());
  EXPECT_EQ(Stored().epoch, Epoch(2));
  EXPECT_EQ(ReasonOf(Mark(Epoch(2))), "NOT_ELIGIBLE");
  BeginRound(Epoch(3));
  EXPECT_EQ(Mark(Epoch(3)), absl::OkStatus());
}

// Else a read between the two would send what the change replaces, under the round's own stamp.
TEST_F(ReplicaReapTest, WhatChangesWhileARaiseIsOnItsWayIsNotOlderThanTheRound) {
  at_.storage.holds = true;
  const auto raised = at_.Start(at_.epochs.Raise(kPartition, Epoch(2)));
  const auto changed =
      at_.Start(at_.replica.ApplyMerge({kItem, NodeId()}, {Encode(Deleted()), kFirstEpoch}));
  at_.storage.LetGo();
  EXPECT_EQ(*raised, absl::OkStatus());
  EXPECT_EQ(at_.epochs.Of(kPartition).current, Epoch(2));
  EXPECT_FALSE(changed->has_value());
  at_.storage.LetGo();
  EXPECT_EQ(*changed, absl::OkStatus());
  at_.storage.holds = false;
  EXPECT_EQ(Stored().record, Deleted());
  EXPECT_EQ(Stored().epoch, Epoch(2));
  EXPECT_FALSE(*at_.Run(at_.replica.IsEligible(kKey, DigestOf(kItem, Deleted()))));
}

TEST_F(ReplicaReapTest, NothingIsMarkedBeforeLowerStampsAreRefusedNorInAnotherRound) {
  ASSERT_EQ(Merge(Deleted()), absl::OkStatus());
  ASSERT_EQ(at_.Run(at_.epochs.Raise(kPartition, Epoch(2))), absl::OkStatus());
  EXPECT_EQ(ReasonOf(Mark(Epoch(2))), "NOT_ELIGIBLE");
  ASSERT_EQ(at_.Run(at_.epochs.Close(kPartition, Epoch(2))), absl::OkStatus());
  EXPECT_EQ(ReasonOf(Mark(Epoch(3))), "NOT_ELIGIBLE");
  EXPECT_EQ(Mark(Epoch(2)), absl::OkStatus());
}

TEST_F(ReplicaReapTest, WhatTheDriverHoldsOtherwiseIsNotMarked) {
  ASSERT_EQ(Merge(Deleted()), absl::OkStatus());
  BeginRound(Epoch(2));
  EXPECT_EQ(ReasonOf(at_.Run(at_.replica.Mark(kKey, 77, Epoch(2)))), "NOT_ELIGIBLE");
  EXPECT_FALSE(*at_.Run(at_.replica.IsEligible(kKey, 77)));
}

TEST_F(ReplicaReapTest, AChangeTakesTheMarkOffAndSoDoesBeingSentTheSame) {
  ASSERT_EQ(Merge(Deleted()), absl::OkStatus());
  BeginRound(Epoch(2));
  ASSERT_EQ(Mark(Epoch(2)), absl::OkStatus());
  EXPECT_EQ(Merge(Deleted(), Epoch(2)), absl::OkStatus());
  EXPECT_FALSE(Stored().marked);
  EXPECT_EQ(Stored().epoch, Epoch(2));
  EXPECT_EQ(Root(), DigestOf(kItem, Deleted()));
  EXPECT_EQ(Marks(), 0u);
  EXPECT_EQ(ReasonOf(Reap(Epoch(2))), "NOT_ELIGIBLE");
  EXPECT_EQ(Stored().record, Deleted());
}

TEST_F(ReplicaReapTest, AMarkOfAnEarlierRoundIsTakenOffAsAChange) {
  ASSERT_EQ(Merge(Deleted()), absl::OkStatus());
  BeginRound(Epoch(2));
  ASSERT_EQ(Mark(Epoch(2)), absl::OkStatus());
  BeginRound(Epoch(3));
  EXPECT_EQ(ReasonOf(Reap(Epoch(2))), "NOT_ELIGIBLE");
  EXPECT_EQ(at_.Run(at_.replica.Unmark(kKey)), absl::OkStatus());
  EXPECT_EQ(ReasonOf(Mark(Epoch(3))), "NOT_ELIGIBLE");  // Changed in this very epoch.
  EXPECT_EQ(Dying(), 1u);
}

TEST_F(ReplicaReapTest, WhatWasReadBeforeTheCloseIsRefused) {
  BeginRound(Epoch(2));
  EXPECT_EQ(ReasonOf(Merge(Deleted(), Epoch(1))), kReasonStaleStamp);
  EXPECT_EQ(Stored(), StoredRecord());
}

TEST_F(ReplicaReapTest, AMemberThatNotedAnEpochTakesNoHintOfALowerStamp) {
  const Place hint{kItem, NodeId(7)};
  ASSERT_EQ(at_.Run(at_.replica.CountHints()), absl::OkStatus());
  ASSERT_EQ(at_.Run(at_.epochs.Note(kPartition, Epoch(3))), absl::OkStatus());
  EXPECT_EQ(ReasonOf(at_.Run(at_.replica.ApplyMerge(hint, {Encode(Deleted()), Epoch(2)}))),
            kReasonStaleStamp);
  EXPECT_EQ(at_.Run(at_.replica.ApplyMerge(hint, {Encode(Deleted()), Epoch(3)})), absl::OkStatus());
}

TEST_F(ReplicaReapTest, NothingIsServedBeforeTheEpochsWereTold) {
  Epochs untold(at_.env, ReplicaForTest::kPartitions);
  Replica replica(at_.env, Incarnation{6}, &untold, {});
  EXPECT_EQ(ReasonOf(at_.Run(replica.ApplyMerge({kItem, NodeId()}, {Encode(Deleted()), Epoch(1)}))),
            kReasonNotTold);
  EXPECT_EQ(ReasonOf(at_.Run(replica.Read(kItem)).status()), kReasonNotTold);
  untold.Serve(kPartition);
  EXPECT_TRUE(at_.Run(replica.Read(kItem)).ok());
}

TEST_F(ReplicaReapTest, ReadsAreStampedWithTheEpochOfTheirCopy) {
  ASSERT_EQ(Merge(Deleted()), absl::OkStatus());
  BeginRound(Epoch(4));
  const absl::StatusOr<Replica::Copy> copy = at_.Run(at_.replica.Read(kItem));
  EXPECT_EQ(copy->stamp, Epoch(4));
  EXPECT_EQ(copy->closed, Epoch(4));
}

TEST_F(ReplicaReapTest, ADamagedRecordIsReportedAndDroppedWithAllItsTraces) {
  ASSERT_EQ(Merge(Deleted()), absl::OkStatus());
  Bytes& bytes = at_.storage.entries[{ColumnFamily::kData, kKey}];
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  std::vector<Bytes> met;
  at_.replica.set_on_damage([&](ColumnFamily, const Bytes& key) { met.push_back(key); });
  EXPECT_TRUE(absl::IsDataLoss(at_.Run(at_.replica.Read(kItem)).status()));
  EXPECT_EQ(met, std::vector<Bytes>{kKey});
  EXPECT_EQ(at_.Run(at_.replica.DropDamaged(ColumnFamily::kData, kKey)), absl::OkStatus());
  EXPECT_EQ(Stored(), StoredRecord());
  EXPECT_EQ(Dying(), 0u);
  EXPECT_EQ(*at_.Run(at_.replica.tree().Correct(kPartition)), 1u) << "the leaf is left to rebuild";
  EXPECT_EQ(*at_.Run(at_.replica.tree().ReadLeaves(kPartition)), Leaves(kLeavesPerPartition, 0));
}

TEST_F(ReplicaReapTest, WhatIsNotDamagedIsNotDropped) {
  ASSERT_EQ(Merge(Deleted()), absl::OkStatus());
  EXPECT_EQ(at_.Run(at_.replica.DropDamaged(ColumnFamily::kData, kKey)), absl::OkStatus());
  EXPECT_EQ(Stored().record, Deleted());
}

TEST_F(ReplicaReapTest, WhatMemoryStillHasIsWrittenOnceMore) {
  RecordCache cache(&at_.storage, 1 << 20);
  Env env = at_.env;
  env.storage = &cache;
  Replica replica(env, Incarnation{5}, &at_.epochs, {});
  ASSERT_EQ(at_.Run(replica.ApplyMerge({kItem, NodeId()}, {Encode(Deleted()), kFirstEpoch})),
            absl::OkStatus());
  at_.storage.entries[{ColumnFamily::kData, kKey}].back() ^= 1;
  EXPECT_EQ(at_.Run(replica.DropDamaged(ColumnFamily::kData, kKey)), absl::OkStatus());
  EXPECT_EQ(Stored().record, Deleted());
}

TEST_F(ReplicaReapTest, ADamagedHintIsDroppedAndCountedNoMore) {
  const Place hint{kItem, NodeId(7)};
  const Bytes key = HintKey(NodeId(7), kKey);
  ASSERT_EQ(at_.Run(at_.replica.CountHints()), absl::OkStatus());
  ASSERT_EQ(at_.Run(at_.replica.ApplyMerge(hint, {Encode(Deleted()), Epoch(1)})), absl::OkStatus());
  at_.storage.entries[{ColumnFamily::kHint, key}].back() ^= 1;
  EXPECT_EQ(at_.Run(at_.replica.DropDamaged(ColumnFamily::kHint, key)), absl::OkStatus());
  EXPECT_EQ(at_.replica.hints().total().entries, 0u);
  EXPECT_EQ(at_.replica.hints().total().bytes, 0u);
}

TEST_F(ReplicaReapTest, AWholePartitionGoesInOneBatch) {
  ASSERT_EQ(Merge(Deleted()), absl::OkStatus());
  at_.storage.Apply(Replica::RemovalOf(kPartition));
  at_.replica.tree().Forget(kPartition);
  EXPECT_EQ(at_.storage.entries.size(), 0u);
  EXPECT_EQ(Root(), 0u);
}

// --- What lies on the disk of all this ---

TEST_F(ReplicaReapTest, EpochsComeBackAfterAStart) {
  BeginRound(Epoch(5));
  ASSERT_EQ(at_.Run(at_.epochs.SetRebuilding(kPartition, true)), absl::OkStatus());
  Epochs again(at_.env, ReplicaForTest::kPartitions);
  ASSERT_EQ(at_.Run(again.Load()), absl::OkStatus());
  EXPECT_EQ(again.Of(kPartition), (PartitionEpochs{Epoch(5), Epoch(5), true}));
  EXPECT_EQ(again.Of(PartitionId(kPartition.value() ^ 1)), PartitionEpochs());
  EXPECT_FALSE(again.Serves(kPartition));
}

// A lesson takes a while, and a round goes on meanwhile.
TEST(EpochsTest, ALessonTakesNothingBackThatWasNotedSinceItWasMade) {
  ReplicaForTest at;
  const PartitionEpochs lesson{Epoch(2), Epoch(2)};
  at.epochs.StopServing(kPartition);
  ASSERT_EQ(at.Run(at.epochs.Note(kPartition, Epoch(5))), absl::OkStatus());
  ASSERT_EQ(at.Run(at.epochs.Reserve(kPartition, Epoch(7))), absl::OkStatus());
  ASSERT_EQ(at.Run(at.epochs.Learn(kPartition, lesson, {})), absl::OkStatus());
  const PartitionEpochs noted{Epoch(5), Epoch(5), false, Epoch(7)};
  EXPECT_EQ(at.epochs.Of(kPartition), noted);
  EXPECT_EQ(*DecodeEpochs(at.storage.entries.at({ColumnFamily::kMeta, EpochsKey(kPartition)})),
            noted);
}

// Else the next note would put the epochs on the disk without the removal that goes with them.
TEST(EpochsTest, ALessonThatCouldNotBeWrittenIsNotTaken) {
  ReplicaForTest at;
  at.epochs.StopServing(kPartition);
  at.storage.fails = absl::ResourceExhaustedError("full");
  const PartitionEpochs lesson{Epoch(5), Epoch(5), true};
  EXPECT_FALSE(at.Run(at.epochs.Learn(kPartition, lesson, Replica::RemovalOf(kPartition))).ok());
  at.storage.fails = absl::OkStatus();
  EXPECT_EQ(at.epochs.Of(kPartition), PartitionEpochs());
  ASSERT_EQ(at.Run(at.epochs.Reserve(kPartition, Epoch(7))), absl::OkStatus());
  const PartitionEpochs reserved{kFirstEpoch, kFirstEpoch, false, Epoch(7)};
  EXPECT_EQ(*DecodeEpochs(at.storage.entries.at({ColumnFamily::kMeta, EpochsKey(kPartition)})),
            reserved);
}

TEST(EpochsTest, ALessonIsWrittenAgainWhereSomethingElseWasMeanwhile) {
  ReplicaForTest at;
  at.epochs.StopServing(kPartition);
  at.storage.holds = true;
  const PartitionEpochs lesson{Epoch(5), Epoch(5), true};
  const auto learnt = at.Start(at.epochs.Learn(kPartition, lesson, {}));
  const auto reserved = at.Start(at.epochs.Reserve(kPartition, Epoch(7)));
  at.storage.LetGo();
  at.storage.LetGo();
  EXPECT_TRUE(reserved->has_value());
  EXPECT_FALSE(learnt->has_value());
  at.storage.LetGo();
  EXPECT_EQ(*learnt, absl::OkStatus());
  const PartitionEpochs both{Epoch(5), Epoch(5), true, Epoch(7)};
  EXPECT_EQ(at.epochs.Of(kPartition), both);
  EXPECT_EQ(*DecodeEpochs(at.storage.entries.at({ColumnFamily::kMeta, EpochsKey(kPartition)})),
            both);
}

TEST_F(ReplicaReapTest, StampsRiseOnlyOnceThatIsDurable) {
  at_.storage.fails = absl::ResourceExhaustedError("full");
  EXPECT_FALSE(at_.Run(at_.epochs.Raise(kPartition, Epoch(2))).ok());
  EXPECT_EQ(at_.epochs.Of(kPartition).current, Epoch(1));
  EXPECT_FALSE(at_.Run(at_.epochs.Close(kPartition, Epoch(2))).ok());
  EXPECT_EQ(at_.epochs.Of(kPartition).closed, Epoch(2));  // To refuse is always safe.
  at_.storage.fails = absl::OkStatus();
  EXPECT_TRUE(at_.Run(at_.epochs.Raise(kPartition, Epoch(2))).ok());
  EXPECT_EQ(at_.epochs.Of(kPartition).current, Epoch(2));
}

}  // namespace
}  // namespace annulus
