#include "sim/checker.h"

#include <string>
#include <vector>

#include "base/checksum.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace annulus::sim {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Histories made by hand: three owners, one item, milliseconds.
class CheckerTest : public testing::Test {
 protected:
  static Instant At(int ms) { return Instant(ms * 1ms); }

  WriteId Put(int from, int to, uint32_t w, std::vector<WriteId> covers = {}) {
    return Write(WriteOp::Kind::kPut, from, to, w, std::move(covers));
  }
  WriteId Delete(int from, int to, uint32_t w, std::vector<WriteId> covers) {
    return Write(WriteOp::Kind::kDelete, from, to, w, std::move(covers));
  }
  WriteId BlindDelete(int from, int to, uint32_t w) {
    return Write(WriteOp::Kind::kBlindDelete, from, to, w, {});
  }
  // Ends as the outcome says; unknown at first.
  WriteId Failed(int from, int to, Outcome outcome, std::vector<WriteId> covers = {}) {
    const WriteId id = Put(from, to, 2, std::move(covers));
    history_.write(id).outcome = outcome;
    history_.write(id).error = "made up";
    return id;
  }
  size_t Get(int from, int to, uint32_t r, std::vector<WriteId> shown) {
    const size_t index = history_.NewRead(2, key_, At(from));
    ReadOp& read = history_.read(index);
    read.returned = At(to);
    read.r = r;
    read.ok = true;
    read.shown = std::move(shown);
    return index;
  }
  void LastRead(std::vector<WriteId> shown) {
    const size_t index = Get(900, 901, 3, std::move(shown));
    history_.read(index).final = true;
  }
  std::vector<Rule> Broken() {
    std::vector<Rule> rules;
    for (const Violation& violation : Check(history_).violations) rules.push_back(violation.rule);
    return rules;
  }

  History history_{3};
  uint32_t key_ = history_.AddKey({.bucket = "default", .key = "k"}, false);

 private:
  WriteId Write(WriteOp::Kind kind, int from, int to, uint32_t w, std::vector<WriteId> covers) {
    WriteOp& write = history_.NewWrite(1, key_, kind, At(from));
    write.returned = At(to);
    write.attempts = 1;
    write.w = write.acks = write.primaries = w;
    write.outcome = Outcome::kApplied;
    write.covers = std::move(covers);
    write.value_hash = Hash64(History::ValueOf(write.id, {}, 0));
    return write.id;
  }
};

TEST_F(CheckerTest, AQuietHistoryIsFine) {
  const WriteId a = Put(0, 1, 2);
  Get(2, 3, 2, {a});
  const WriteId b = Put(4, 5, 2, {a});
  Get(6, 7, 2, {b});
  LastRead({b});
  EXPECT_THAT(Broken(), IsEmpty());
}

TEST_F(CheckerTest, AnAcknowledgedWriteThatIsGoneIsLost) {
  Put(0, 1, 1);
  LastRead({});
  EXPECT_THAT(Broken(), ElementsAre(Rule::kLost));
}

TEST_F(CheckerTest, AWriteThatWasShownIsKeptEvenIfItsOutcomeIsUnknown) {
  const WriteId a = Failed(0, 1, Outcome::kUnknown);
  LastRead({});
  EXPECT_THAT(Broken(), IsEmpty());  // It may never have been.
  Get(2, 3, 1, {a});
  EXPECT_THAT(Broken(), ElementsAre(Rule::kLost));
}

TEST_F(CheckerTest, AnUnknownWriteMayReplaceForEver) {
  const WriteId a = Put(0, 1, 2);
  const WriteId b = Failed(2, 3, Outcome::kUnknown, {a});
  Get(4, 5, 3, {a});
  LastRead({b});
  EXPECT_THAT(Broken(), IsEmpty());
}

TEST_F(CheckerTest, AWriteThatWasNotAppliedReplacesNothing) {
  const WriteId a = Put(0, 1, 2);
  Failed(2, 3, Outcome::kNotApplied, {a});
  LastRead({});
  EXPECT_THAT(Broken(), ElementsAre(Rule::kLost));
}

TEST_F(CheckerTest, AContextThatShowedSomethingElseReplacesNothing) {
  const WriteId a = Put(0, 1, 2);
  const WriteId b = Put(2, 3, 2);
  const WriteId c = Put(4, 5, 2, {b});
  LastRead({c});
  const CheckResult result = Check(history_);
  ASSERT_EQ(result.violations.size(), 1u);
  EXPECT_EQ(result.violations[0].rule, Rule::kLost);
  EXPECT_EQ(result.violations[0].write, a);
}

TEST_F(CheckerTest, OverlappingQuorumsSeeEachOther) {
  const WriteId a = Put(0, 1, 2);
  Get(2, 3, 2, {});
  LastRead({a});
  EXPECT_THAT(Broken(), ElementsAre(Rule::kMissed));
}

TEST_F(CheckerTest, QuorumsThatDoNotOverlapNeedNot) {
  const WriteId a = Put(0, 1, 1);
  Get(2, 3, 2, {});
  const WriteId b = Put(4, 5, 2);
  Get(6, 7, 1, {});
  LastRead({a, b});
  EXPECT_THAT(Broken(), IsEmpty());
}

TEST_F(CheckerTest, AReadThatBeganBeforeTheAcknowledgementNeedNotSeeIt) {
  const WriteId a = Put(0, 5, 3);
  Get(4, 9, 3, {});
  LastRead({a});
  EXPECT_THAT(Broken(), IsEmpty());
}

TEST_F(CheckerTest, WhatIsReplacedDuringAReadMayBeMissing) {
  const WriteId a = Put(0, 1, 3);
  const size_t read = Get(2, 9, 3, {});
  const WriteId b = Put(8, 12, 3, {a});
  LastRead({b});
  EXPECT_THAT(Broken(), IsEmpty());
  history_.read(read).returned = At(7);
  EXPECT_THAT(Broken(), ElementsAre(Rule::kMissed));
}

TEST_F(CheckerTest, WhatAnAcknowledgedWriteReplacedDoesNotReturn) {
  const WriteId a = Put(0, 1, 2);
  const WriteId b = Put(2, 3, 2, {a});
  Get(4, 5, 1, {a});  // One replica may be behind.
  EXPECT_THAT(Broken(), IsEmpty());
  Get(6, 7, 2, {a, b});
  EXPECT_THAT(Broken(), ElementsAre(Rule::kReturned));
}

TEST_F(CheckerTest, WhatWasDeletedDoesNotComeBackAtTheEnd) {
  const WriteId a = Put(0, 1, 2);
  Delete(2, 3, 1, {a});
  LastRead({a});
  EXPECT_THAT(Broken(), ElementsAre(Rule::kReturned));
}

TEST_F(CheckerTest, RequestsThatWentToSeveralMintersAreExemptAndCounted) {
  const WriteId a = Put(0, 1, 2);
  const WriteId b = Put(2, 3, 2, {a});
  LastRead({a, b});
  history_.OnForwardArrived(a, 1, 0);
  history_.OnForwardAnswered(a, 0, At(1));
  EXPECT_THAT(Broken(), ElementsAre(Rule::kReturned));
  history_.OnForwardArrived(a, 2, 0);
  history_.OnForwardAnswered(a, 0, At(1));
  const CheckResult result = Check(history_);
  EXPECT_THAT(result.violations, IsEmpty());
  EXPECT_EQ(result.exempted, 1u);
}

TEST_F(CheckerTest, ARepeatToOneMinterIsExemptOnlyAfterAWriteOverIt) {
  const WriteId a = Put(0, 1, 2);
  const WriteId b = Put(5, 6, 2, {a});
  LastRead({a, b});
  for (int repeat = 0; repeat < 2; ++repeat) {
    history_.OnForwardArrived(a, 1, 0);
    history_.OnForwardAnswered(a, 0, At(1 + repeat));
  }
  EXPECT_THAT(Broken(), ElementsAre(Rule::kReturned));  // It should have been recognised.
  history_.OnForwardArrived(a, 1, 0);
  history_.OnForwardAnswered(a, 0, At(5));
  EXPECT_THAT(Broken(), IsEmpty());
}

TEST_F(CheckerTest, ARepeatToAMinterWhoseCommitFailedMeanwhileIsExempt) {
  const WriteId a = Put(0, 1, 2);
  const WriteId b = Put(5, 6, 2, {a});
  LastRead({a, b});
  for (uint64_t repeat = 0; repeat < 2; ++repeat) history_.OnForwardArrived(a, 1, 0);
  history_.OnForwardAnswered(a, 0, At(1));
  history_.OnForwardAnswered(a, 1, At(2));
  EXPECT_THAT(Broken(), IsEmpty());
}

TEST_F(CheckerTest, NobodyReadsWhatNobodyWrote) {
  const WriteId a = Put(10, 11, 2);
  const size_t read = Get(2, 3, 2, {a});
  LastRead({a});
  EXPECT_THAT(Broken(), ElementsAre(Rule::kInvented));  // Before it was written.
  history_.read(read).shown.clear();
  history_.Show(&history_.read(read), "12345:x");
  history_.Show(&history_.read(read), History::ValueOf(a, {}, 0) + "!");
  EXPECT_THAT(Broken(), ElementsAre(Rule::kInvented, Rule::kInvented));
}

TEST_F(CheckerTest, AValueOfAnotherItemIsInvented) {
  const WriteId a = Put(0, 1, 2);
  const uint32_t other = history_.AddKey({.bucket = "default", .key = "other"}, false);
  LastRead({a});
  ReadOp& read = history_.read(history_.NewRead(1, other, At(2)));
  read.ok = true;
  read.r = 1;
  read.returned = At(3);
  history_.Show(&read, History::ValueOf(a, {}, 0));
  EXPECT_THAT(Broken(), ElementsAre(Rule::kInvented));
}

TEST_F(CheckerTest, WhatWasNotAppliedIsNeverSeen) {
  const WriteId a = Failed(0, 1, Outcome::kNotApplied);
  Get(2, 3, 1, {a});
  LastRead({a});
  EXPECT_THAT(Broken(), ElementsAre(Rule::kContradicted, Rule::kContradicted));
}

TEST_F(CheckerTest, ACopyOfARefusedForwardIsExemptAndCounted) {
  const WriteId a = Put(0, 1, 2);
  const WriteId b = Failed(2, 3, Outcome::kNotApplied, {a});
  LastRead({b});
  EXPECT_THAT(Broken(), ElementsAre(Rule::kLost, Rule::kContradicted));
  history_.OnForwardArrived(b, 1, 0, /*copy=*/true);
  EXPECT_THAT(Broken(), IsEmpty());
}

TEST_F(CheckerTest, AFailureSaysHowItEnded) {
  Failed(0, 1, Outcome::kNone);
  LastRead({});
  EXPECT_THAT(Broken(), ElementsAre(Rule::kContradicted));
}

TEST_F(CheckerTest, AnAcknowledgementHasTheOwnersItWasAskedFor) {
  const WriteId a = Put(0, 1, 2);
  history_.write(a).acks = 1;
  LastRead({a});
  EXPECT_THAT(Broken(), ElementsAre(Rule::kContradicted));
}

TEST_F(CheckerTest, FallbacksAreNoPartOfAnOverlap) {
  const WriteId a = Put(0, 1, 2);
  history_.write(a).primaries = 1;
  Get(2, 3, 2, {});
  LastRead({a});
  EXPECT_THAT(Broken(), IsEmpty());
  Get(4, 5, 3, {});
  EXPECT_THAT(Broken(), ElementsAre(Rule::kMissed));
}

TEST_F(CheckerTest, ASloppyReadNeedNotSeeButTheLastReadMust) {
  const WriteId a = Put(0, 1, 2);
  history_.read(Get(2, 3, 2, {})).sloppy = true;
  LastRead({a});
  EXPECT_THAT(Broken(), IsEmpty());
  Put(4, 5, 2);
  history_.write(a + 1).primaries = 0;
  EXPECT_THAT(Broken(), ElementsAre(Rule::kLost));
}

TEST_F(CheckerTest, TwoStrictReadsInARowDoNotGoBackInTime) {
  const WriteId a = Put(0, 1, 2);
  const WriteId b = Failed(2, 3, Outcome::kUnknown, {a});
  Get(4, 5, 2, {b});
  Get(6, 7, 1, {a});  // Of one, who may not have heard of it.
  LastRead({b});
  EXPECT_THAT(Broken(), IsEmpty());
  Get(8, 9, 2, {a, b});
  EXPECT_THAT(Broken(), ElementsAre(Rule::kReturned));
  Get(10, 11, 2, {});
  EXPECT_THAT(Broken(), ElementsAre(Rule::kReturned, Rule::kMissed));
}

TEST_F(CheckerTest, AWriteWhoseOnlyCopyWasLostIsExcludedAndCounted) {
  const WriteId a = Put(0, 1, 1);
  const WriteId b = Put(2, 3, 1, {a});
  history_.NoteCopiesLost(b);
  LastRead({a});
  const CheckResult result = Check(history_);
  EXPECT_THAT(result.violations, IsEmpty());
  EXPECT_EQ(result.lost_with_disks, 1u);
}

TEST_F(CheckerTest, APartOfAnItemNeedNotShowTheRest) {
  const WriteId a = Put(0, 1, 2);
  const WriteId b = Put(0, 1, 2);
  history_.read(Get(2, 3, 2, {a})).more = true;
  LastRead({a, b});
  EXPECT_THAT(Broken(), IsEmpty());
}

TEST_F(CheckerTest, AValueIsThereUntilItMayExpireAndGoneWhenItMust) {
  history_.set_clock_error(10ms);
  const WriteId a = Put(0, 5, 2);
  history_.write(a).ttl = 100ms;
  Get(70, 90, 2, {});     // It may have expired by 80.
  Get(120, 130, 2, {a});  // It need not have until 125.
  LastRead({});
  EXPECT_THAT(Broken(), IsEmpty());
  Get(70, 75, 2, {});
  EXPECT_THAT(Broken(), ElementsAre(Rule::kMissed));
  Get(126, 127, 2, {a});
  EXPECT_THAT(Broken(), ElementsAre(Rule::kMissed, Rule::kOverdue));
}

TEST_F(CheckerTest, ARequestThatItsQuorumCouldServeIsServed) {
  const WriteId a = Put(0, 1, 2);
  history_.read(Get(2, 3, 2, {a})).unserved = "made up";
  history_.write(a).unserved = "made up";
  LastRead({a});
  EXPECT_THAT(Broken(), ElementsAre(Rule::kUnserved, Rule::kUnserved));
}

TEST_F(CheckerTest, ABlindDeleteMayCoverWhatWasThereButNotWhatCameLater) {
  Put(0, 1, 3);
  Put(2, 9, 3);
  BlindDelete(8, 10, 2);
  LastRead({});
  EXPECT_THAT(Broken(), IsEmpty());
  Put(11, 12, 1);
  EXPECT_THAT(Broken(), ElementsAre(Rule::kLost));
}

TEST_F(CheckerTest, ABlindDeleteIsOpenUntilItsLastForwardIsAnswered) {
  const WriteId gone = BlindDelete(0, 5, 2);
  Put(6, 7, 3);
  LastRead({});
  EXPECT_THAT(Broken(), ElementsAre(Rule::kLost));
  for (const int minter : {1, 2}) {
    history_.OnForwardArrived(gone, minter, 0);
    history_.OnForwardAnswered(gone, 0, At(8));
  }
  EXPECT_THAT(Broken(), IsEmpty());
}

TEST_F(CheckerTest, AnUnknownBlindDeleteIsOpenForEver) {
  const WriteId gone = BlindDelete(0, 5, 2);
  history_.write(gone).outcome = Outcome::kUnknown;
  Put(100, 101, 3);
  LastRead({});
  EXPECT_THAT(Broken(), IsEmpty());
}

TEST_F(CheckerTest, ACopyOfAWriteThatAClockMayHaveHiddenIsMintedAgain) {
  const WriteId a = Put(0, 5, 3);
  for (const int answered : {4, 8}) {
    history_.OnForwardArrived(a, 1, 0);
    history_.OnForwardAnswered(a, 0, At(answered));
  }
  const WriteId b = Put(20, 21, 3, {a});
  Get(30, 31, 3, {a, b});
  LastRead({b});
  EXPECT_THAT(Broken(), ElementsAre(Rule::kReturned));
  history_.write(a).ttl = 100ms;
  EXPECT_THAT(Broken(), ElementsAre(Rule::kReturned));
  history_.set_clock_error(1s);  // Somebody may have been shown nothing, and written over it.
  EXPECT_THAT(Broken(), IsEmpty());
}

TEST_F(CheckerTest, AtLeastHoldsAtAnyR) {
  const WriteId a = Put(0, 1, 1);
  const WriteId b = Put(2, 3, 1, {a});
  const size_t read = Get(4, 5, 1, {b});
  LastRead({b});
  history_.read(read).at_least = {b};
  EXPECT_THAT(Broken(), IsEmpty());
  history_.read(read).shown = {};
  EXPECT_THAT(Broken(), ElementsAre(Rule::kMissed));
  history_.read(read).shown = {a, b};
  EXPECT_THAT(Broken(), ElementsAre(Rule::kReturned));
}

TEST_F(CheckerTest, AnItemThatCanNotBeReadAtTheEndIsUnreachable) {
  LastRead({});
  ReadOp& read = history_.read(0);
  read.ok = false;
  EXPECT_THAT(Broken(), ElementsAre(Rule::kUnreachable));
}

TEST(CheckerOfCounters, AnElementThatWasAddedStays) {
  History history(3);
  const uint32_t key = history.AddKey({.bucket = "default", .key = "counter"}, true);
  std::vector<WriteId> elements;
  std::vector<Bytes> values;
  for (int i = 0; i < 2; ++i) {
    WriteOp& write = history.NewWrite(1, key, WriteOp::Kind::kPut, Instant(i * 10ms));
    write.returned = Instant(i * 10ms + 1ms);
    write.w = write.acks = 2;
    write.outcome = Outcome::kApplied;
    if (i == 1) write.covers = {1};
    elements = {write.id};  // The second forgets the first, that its context covers.
    values.push_back(History::ValueOf(write.id, elements, 0));
    write.value_hash = Hash64(values.back());
  }
  ReadOp& read = history.read(history.NewRead(0, key, Instant(1s)));
  read.returned = Instant(1s + 1ms);
  read.r = 3;
  read.ok = read.final = true;
  history.Show(&read, values[1]);
  const CheckResult result = Check(history);
  ASSERT_EQ(result.violations.size(), 1u);
  EXPECT_EQ(result.violations[0].rule, Rule::kElementLost);
  EXPECT_EQ(result.violations[0].write, 1u);
}

TEST(HistoryTest, ValuesAndRequestIdsNameTheirWrites) {
  RequestId id;
  const Bytes bytes = History::RequestIdOf(42);
  ASSERT_EQ(bytes.size(), id.size());
  std::copy(bytes.begin(), bytes.end(), id.begin());
  EXPECT_EQ(History::WriteOf(id), 42u);
  EXPECT_EQ(History::WriteOf(RequestId{}), 0u);
  EXPECT_EQ(History::ValueOf(3, {1, 2}, 0), "3:1,2:");
  EXPECT_EQ(History::ValueOf(3, {}, 100).size(), 100u);
}

TEST_F(CheckerTest, DataLossIsAnAnswerOnlyWhereADiskDidDamage) {
  const size_t read = Get(10, 20, 2, {});
  history_.read(read).ok = false;
  history_.read(read).code = absl::StatusCode::kDataLoss;
  LastRead({});
  EXPECT_THAT(Broken(), ElementsAre(Rule::kBadStatus));
  history_.NoteDamage();
  EXPECT_THAT(Broken(), IsEmpty());
}

}  // namespace
}  // namespace annulus::sim
