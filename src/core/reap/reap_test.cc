#include <gtest/gtest.h>

#include "base/checksum.h"
#include "core/reap/dead.h"
#include "core/reap/epochs.h"

namespace annulus {
namespace {

constexpr Duration kSkew = 10s;
constexpr WallTime kNow{100'000'000};

Record RecordOf(std::vector<Sibling> siblings) {
  Record record;
  uint64_t counter = 0;
  for (Sibling& sibling : siblings) {
    sibling.dot = {ActorId{9}, ++counter};
    Write(&record, {}, std::move(sibling));
  }
  return record;
}
Sibling Tombstone() { return {.tombstone = true}; }
Sibling Value(int64_t expires = 0) { return {.expires = WallTime{expires}, .value = "v"}; }

TEST(EpochsTest, EncodingsComeBackAndDamageIsSeen) {
  const PartitionEpochs epochs{Epoch(7), Epoch(300), true};
  Bytes bytes = Encode(epochs);
  EXPECT_EQ(*DecodeEpochs(bytes), epochs);
  for (size_t i = 0; i < bytes.size(); ++i) {
    Bytes damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 4);
    EXPECT_TRUE(absl::IsDataLoss(DecodeEpochs(damaged).status())) << i;
  }
  EXPECT_TRUE(absl::IsDataLoss(DecodeEpochs("").status()));
}

TEST(EpochsTest, StampsBelowWhatIsClosedAreRefused) {
  const PartitionEpochs epochs{Epoch(5), Epoch(4)};
  EXPECT_FALSE(epochs.Accepts(Epoch(3)));
  EXPECT_TRUE(epochs.Accepts(Epoch(4)));
  EXPECT_TRUE(epochs.Accepts(Epoch(5)));
}

TEST(EpochsTest, AnOwnerBelowWhatOthersClosedSetsItsCopyAside) {
  const Lesson lesson = LearnAsOwner({Epoch(2), Epoch(1)}, {Epoch(4), Epoch(3)});
  EXPECT_TRUE(lesson.set_aside);
  EXPECT_TRUE(lesson.serves);
  EXPECT_EQ(lesson.epochs, (PartitionEpochs{Epoch(4), Epoch(3), true}));
}

TEST(EpochsTest, AnOwnerThatOnlyMissedARaiseCatchesUp) {
  const Lesson lesson = LearnAsOwner({Epoch(3), Epoch(2)}, {Epoch(4), Epoch(3)});
  EXPECT_FALSE(lesson.set_aside);
  EXPECT_EQ(lesson.epochs, (PartitionEpochs{Epoch(4), Epoch(3), false}));
}

TEST(EpochsTest, WhatIsToldNeverLowersAnything) {
  const Lesson lesson = LearnAsOwner({Epoch(9), Epoch(8), true}, {Epoch(4), Epoch(3)});
  EXPECT_EQ(lesson.epochs, (PartitionEpochs{Epoch(9), Epoch(8), true}));
}

TEST(EpochsTest, TheHighestOfSeveralIsLearnt) {
  const PartitionEpochs together = Together({Epoch(2), Epoch(1), true}, {Epoch(1), Epoch(2)});
  EXPECT_EQ(together, (PartitionEpochs{Epoch(2), Epoch(2), false}));
}

TEST(EpochsTest, WhoIsBelowWhatOthersClosedMustLearnAgain) {
  EXPECT_TRUE(MustLearnAgain({Epoch(1), Epoch(1)}, {Epoch(3), Epoch(2)}));
  EXPECT_FALSE(MustLearnAgain({Epoch(2), Epoch(1)}, {Epoch(3), Epoch(2)}));
}

TEST(EpochsTest, AnotherMemberWaitsForTheRoundThatItHasNotNoted) {
  EXPECT_TRUE(LearnAsOther({Epoch(3), Epoch(3)}, {Epoch(3), Epoch(2)}).serves);
  const Lesson waits = LearnAsOther({Epoch(2), Epoch(2)}, {Epoch(4), Epoch(3)});
  EXPECT_FALSE(waits.serves);
  EXPECT_EQ(waits.epochs.closed, Epoch(3));
  EXPECT_FALSE(waits.set_aside);
}

TEST(EpochsTest, ARoundIsAboveAllMembers) {
  EXPECT_EQ(EpochAbove({{Epoch(3)}, {Epoch(9)}, {Epoch(1)}}), Epoch(10));
  EXPECT_EQ(EpochAbove({{Epoch(3)}, {.current = Epoch(1), .reserved = Epoch(9)}}), Epoch(10));
}

TEST(EpochsTest, OfTheFirstFormatNothingIsReservedButWhatIsCurrent) {
  Bytes first = {1, 7, 5, 1};  // Format, current, closed, rebuilding.
  AppendChecksum(&first);
  EXPECT_EQ(*DecodeEpochs(first), (PartitionEpochs{Epoch(7), Epoch(5), true, Epoch(7)}));
}

TEST(DeadTest, IsWhatHasNothingButTombstones) {
  EXPECT_FALSE(DiesAt(Record()).has_value());
  EXPECT_FALSE(DiesAt(RecordOf({Value()})).has_value());
  EXPECT_FALSE(DiesAt(RecordOf({Tombstone(), Value()})).has_value());
  EXPECT_EQ(DiesAt(RecordOf({Tombstone(), Tombstone()})), WallTime());
  EXPECT_TRUE(IsDead(DiesAt(RecordOf({Tombstone()})), WallTime{1}, kSkew));
}

TEST(DeadTest, AnExpiredValueIsDeadOnceEveryClockSaysSo) {
  const Record record = RecordOf({Value(70'000'000), Tombstone(), Value(89'000'000)});
  EXPECT_EQ(DiesAt(record), WallTime{89'000'000});
  EXPECT_TRUE(IsDead(DiesAt(record), kNow, kSkew));
  EXPECT_FALSE(IsDead(DiesAt(record), kNow, kSkew + 1s));
}

TEST(DeadTest, IsEligibleWhenItDidNotChangeSinceTheRaise) {
  StoredRecord stored{.record = RecordOf({Tombstone()}), .epoch = Epoch(4)};
  EXPECT_TRUE(IsEligible(stored, {Epoch(5), Epoch(4)}, kNow, kSkew));
  EXPECT_FALSE(IsEligible(stored, {Epoch(4), Epoch(4)}, kNow, kSkew));
  stored.record = RecordOf({Value()});
  EXPECT_FALSE(IsEligible(stored, {Epoch(5), Epoch(4)}, kNow, kSkew));
}

TEST(DeadTest, IndexKeysStayInTheirPartition) {
  const Bytes data_key = DataKey({"default", "key", "sort"}, 256);
  const PartitionId partition = LeafOf(data_key).partition;
  const KeyRange dying = DyingRange(partition);
  const KeyRange marks = MarkRange(partition);
  EXPECT_GE(DyingKey(data_key), dying.begin);
  EXPECT_LT(DyingKey(data_key), dying.end);
  EXPECT_GE(MarkKey(data_key), marks.begin);
  EXPECT_LT(MarkKey(data_key), marks.end);
  EXPECT_GE(DyingRange(PartitionId(partition.value() + 1)).begin, dying.end);
  EXPECT_EQ(DataKeyOfIndex(DyingKey(data_key)), data_key);
  EXPECT_EQ(DataKeyOfIndex(MarkKey(data_key)), data_key);
  EXPECT_EQ(*DecodeDiesAt(EncodeDiesAt(kNow)), kNow);
  EXPECT_TRUE(absl::IsDataLoss(DecodeDiesAt("short").status()));
}

}  // namespace
}  // namespace annulus
