#include "core/version/stored.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <set>
#include <vector>

#include "base/checksum.h"
#include "core/version/history_for_test.h"

namespace annulus {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

// One node and the item that it mints in.
class MintTest : public testing::Test {
 protected:
  Mint PutOf(Bytes value, VersionVector context = {}) {
    Mint mint;
    mint.context = std::move(context);
    mint.value = std::move(value);
    return mint;
  }

  MintResult Apply(Mint mint) {
    return ApplyMint(&stored_, std::move(mint), incarnation_, limits_, &random_);
  }
  MintResult Put(Bytes value, VersionVector context = {}) {
    return Apply(PutOf(std::move(value), std::move(context)));
  }
  VersionVector Read() { return Show(stored_.record, {}, 1 << 22).context; }

  std::vector<Bytes> Values() const {
    std::vector<Bytes> values;
    for (const Sibling& sibling : stored_.record.siblings) values.push_back(sibling.value);
    return values;
  }

  Limits limits_;
  Random random_{1};
  Incarnation incarnation_{77};
  StoredRecord stored_;
};

TEST_F(MintTest, TwoWritersWhoNeverReadKeepExactlyTwoSiblings) {
  VersionVector alice, bob;
  for (int i = 0; i < 100; ++i) {
    alice = Put("alice " + std::to_string(i), alice).context;
    bob = Put("bob " + std::to_string(i), bob).context;
    ASSERT_EQ(stored_.record.siblings.size(), 2u);
  }
  EXPECT_THAT(Values(), UnorderedElementsAre("alice 99", "bob 99"));
}

TEST_F(MintTest, TwoWritersOnTwoReplicasKeepExactlyTwoSiblings) {
  StoredRecord other;
  VersionVector alice, bob;
  for (int i = 0; i < 100; ++i) {
    alice = Put("alice", alice).context;
    MintResult put = ApplyMint(&other, PutOf("bob", bob), Incarnation(78), limits_, &random_);
    bob = put.context;
    Merge(&stored_.record, other.record);
    Merge(&other.record, stored_.record);
    ASSERT_EQ(stored_.record.siblings.size(), 2u);
    ASSERT_TRUE(SameVersions(stored_.record, other.record));
  }
  EXPECT_EQ(stored_.record.vector.width(), 2u);
}

TEST_F(MintTest, BlindWritesOfOneClientStandBesideEachOther) {
  const VersionVector first = Put("first").context;
  const VersionVector second = Put("second").context;
  EXPECT_THAT(Values(), ElementsAre("first", "second"));

  // It has not read the first, so what the second returned must not drop it.
  EXPECT_FALSE(second.Covers(first));
  Put("third", second);
  EXPECT_THAT(Values(), ElementsAre("first", "third"));

  Put("fourth", Read());
  EXPECT_THAT(Values(), ElementsAre("fourth"));
}

TEST_F(MintTest, AReplicaThatMissedASiblingDoesNotLoseItToTheNextWrite) {
  StoredRecord missed;  // It was down during the first write.
  Put("first");
  const Record sent = stored_.record;
  ApplyMint(&missed, PutOf("second"), Incarnation(78), limits_, &random_);
  // The second write's record reaches the replica that holds the first, and the other way round.
  Merge(&stored_.record, missed.record);
  Merge(&missed.record, sent);
  EXPECT_THAT(Values(), UnorderedElementsAre("first", "second"));
  EXPECT_TRUE(SameVersions(stored_.record, missed.record));
}

TEST_F(MintTest, AMinterThatCrashedBeforeItsFsyncNeverReusesADot) {
  Put("durable");
  const StoredRecord on_disk = stored_;
  const MintResult lost = Put("sent but not durable");
  const Record sent = stored_.record;

  stored_ = on_disk;
  incarnation_ = Incarnation(78);
  const MintResult next = Put("after the crash");
  EXPECT_NE(next.dot, lost.dot);
  EXPECT_NE(next.dot.actor, lost.dot.actor);
  Merge(&stored_.record, sent);
  EXPECT_THAT(Values(), UnorderedElementsAre("durable", "sent but not durable", "after the crash"));
}

TEST_F(MintTest, AMinterWhoseCommitFailedNeverReusesADot) {
  const StoredRecord on_disk = stored_;
  const MintResult failed = Put("sent, then the commit failed");
  const Record sent = stored_.record;
  stored_ = on_disk;
  incarnation_ = Incarnation(78);  // As the caller must: see ApplyMint.
  const MintResult next = Put("next");
  EXPECT_NE(next.dot, failed.dot);
  Merge(&stored_.record, sent);
  EXPECT_EQ(stored_.record.siblings.size(), 2u);
}

TEST_F(MintTest, OneIncarnationMintsAsOneActor) {
  const MintResult first = Put("1");
  const MintResult second = Put("2", Read());
  EXPECT_EQ(first.dot.actor, second.dot.actor);
  EXPECT_EQ(second.dot.counter, first.dot.counter + 1);
  EXPECT_EQ(stored_.note, (MintNote{second.dot.actor, incarnation_}));
  EXPECT_EQ(stored_.record.vector.width(), 1u);
}

TEST_F(MintTest, AContextThatKnowsMoreOfTheActorIsNoWayToADeadWrite) {
  const Dot dot = Put("1").dot;
  VersionVector ahead;
  for (uint64_t counter = 1; counter <= 5; ++counter) ahead.Add({dot.actor, counter});
  const MintResult result = Put("2", ahead);
  EXPECT_EQ(result.dot, (Dot{dot.actor, 6}));
  EXPECT_THAT(Values(), ElementsAre("2"));
}

TEST_F(MintTest, ADeleteLeavesATombstone) {
  Put("value");
  Mint mint;
  mint.context = Read();
  mint.tombstone = true;
  mint.value = "ignored";
  mint.expires.micros = 5;
  const MintResult deleted = Apply(mint);
  ASSERT_EQ(stored_.record.siblings.size(), 1u);
  EXPECT_TRUE(stored_.record.siblings[0].tombstone);
  EXPECT_TRUE(stored_.record.siblings[0].value.empty());
  EXPECT_EQ(stored_.record.siblings[0].expires, WallTime{});
  EXPECT_EQ(deleted.context, Read());

  Put("again", deleted.context);
  EXPECT_THAT(Values(), ElementsAre("again"));
}

TEST_F(MintTest, ADeleteKeepsAPutThatItHasNotSeen) {
  Put("seen");
  const VersionVector context = Read();
  Put("unseen");
  Mint mint;
  mint.context = context;
  mint.tombstone = true;
  Apply(mint);
  EXPECT_EQ(Show(stored_.record, {}, 1 << 20).siblings.size(), 1u);
  EXPECT_THAT(Values(), ElementsAre("unseen", ""));
}

TEST_F(MintTest, ABlindDeleteCoversWhatTheMinterHolds) {
  Put("1");
  Put("2");
  Mint mint;
  mint.blind_delete = true;
  const MintResult deleted = Apply(mint);
  ASSERT_EQ(stored_.record.siblings.size(), 1u);
  EXPECT_TRUE(stored_.record.siblings[0].tombstone);
  EXPECT_EQ(deleted.context, stored_.record.vector);
}

TEST_F(MintTest, ARequestThatIsHeldMintsNothing) {
  Mint mint = PutOf("value");
  mint.request_id.fill('r');
  const MintResult first = Apply(mint);
  Put("beside");
  const StoredRecord before = stored_;
  const MintResult again = Apply(mint);
  EXPECT_EQ(again.verdict, MintVerdict::kRepeated);
  EXPECT_EQ(again.dot, first.dot);
  EXPECT_EQ(again.context, first.context);
  EXPECT_EQ(stored_, before);

  // Once it is overwritten, nothing is promised but that the store stays sound.
  Put("over", Read());
  EXPECT_EQ(Apply(mint).verdict, MintVerdict::kMinted);
}

TEST_F(MintTest, ARequestThatTwoNodesMintedIsCoveredWhole) {
  Mint mint = PutOf("value");
  mint.request_id.fill('r');
  Apply(mint);
  StoredRecord other;
  ApplyMint(&other, mint, Incarnation(78), limits_, &random_);
  Merge(&stored_.record, other.record);
  ASSERT_EQ(stored_.record.siblings.size(), 2u);

  const MintResult again = Apply(mint);
  EXPECT_EQ(again.verdict, MintVerdict::kRepeated);
  EXPECT_EQ(again.dot, stored_.record.siblings[0].dot);
  Put("over", again.context);
  EXPECT_THAT(Values(), ElementsAre("over"));
}

TEST_F(MintTest, TooManySiblingsAreRefusedUntilThereAreFewer) {
  limits_.siblings_max = 3;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Put("v").verdict, MintVerdict::kMinted);
  const StoredRecord before = stored_;
  EXPECT_EQ(Put("v").verdict, MintVerdict::kTooManySiblings);
  EXPECT_EQ(stored_, before);

  // Over the limit by merging: as many as before is allowed, and so is fewer.
  limits_.siblings_max = 1;
  VersionVector one;
  one.Add(stored_.record.siblings[0].dot);
  EXPECT_EQ(Put("v", one).verdict, MintVerdict::kMinted);
  EXPECT_EQ(stored_.record.siblings.size(), 3u);
  EXPECT_EQ(Put("v", Read()).verdict, MintVerdict::kMinted);
  EXPECT_EQ(stored_.record.siblings.size(), 1u);
}

TEST_F(MintTest, TooManyBytesAreRefusedUntilThereAreFewer) {
  limits_.record_bytes_max = 2500;
  EXPECT_EQ(Put(Bytes(1000, 'v')).verdict, MintVerdict::kMinted);
  EXPECT_EQ(Put(Bytes(1000, 'v')).verdict, MintVerdict::kMinted);
  const StoredRecord before = stored_;
  EXPECT_EQ(Put(Bytes(1000, 'v')).verdict, MintVerdict::kRecordTooLarge);
  EXPECT_EQ(stored_, before);

  limits_.record_bytes_max = 500;
  VersionVector one;
  one.Add(stored_.record.siblings[0].dot);
  EXPECT_EQ(Put(Bytes(1001, 'v'), one).verdict, MintVerdict::kRecordTooLarge);
  EXPECT_EQ(Put(Bytes(900, 'v'), one).verdict, MintVerdict::kMinted);
  Mint mint;
  mint.blind_delete = true;
  EXPECT_EQ(Apply(mint).verdict, MintVerdict::kMinted);
  EXPECT_LT(SizeOf(stored_.record), 500u);
}

TEST_F(MintTest, TheDefaultLimitsTakeTheLargestValue) {
  EXPECT_EQ(Put(Bytes(limits_.value_bytes_max, 'v')).verdict, MintVerdict::kMinted);
  for (int i = 0; i < 2; ++i) Put(Bytes(limits_.value_bytes_max, 'v'));
  EXPECT_EQ(Put(Bytes(limits_.value_bytes_max, 'v')).verdict, MintVerdict::kRecordTooLarge);
  EXPECT_LE(SizeOf(stored_.record), limits_.record_bytes_max);
}

RC_GTEST_PROP(Stored, ComesBackFromItsEncoding, (uint64_t epoch, uint64_t actor, Bytes value)) {
  StoredRecord stored;
  stored.epoch = Epoch(epoch);
  if (*rc::gen::arbitrary<bool>()) stored.note = MintNote{ActorId(actor), Incarnation(epoch)};
  Write(&stored.record, {}, Sibling{.dot = {ActorId(actor), 1}, .value = value});
  const Bytes bytes = Encode(stored);
  const auto decoded = DecodeStored(bytes);
  RC_ASSERT(decoded.ok());
  RC_ASSERT(*decoded == stored);
}

TEST(Stored, EveryCutAndEveryFlippedBitIsDataLoss) {
  StoredRecord stored;
  stored.note = MintNote{ActorId(3), Incarnation(4)};
  Write(&stored.record, {}, Sibling{.dot = {ActorId(3), 1}, .value = "value"});
  const Bytes bytes = Encode(stored);
  for (size_t i = 0; i < bytes.size(); ++i) {
    EXPECT_EQ(DecodeStored(bytes.substr(0, i)).status().code(), absl::StatusCode::kDataLoss);
    for (int bit = 0; bit < 8; ++bit) {
      Bytes altered = bytes;
      altered[i] ^= static_cast<char>(1 << bit);
      EXPECT_EQ(DecodeStored(altered).status().code(), absl::StatusCode::kDataLoss);
    }
  }
  // A record as it is sent is not one as it is stored.
  EXPECT_EQ(DecodeStored(Encode(stored.record)).status().code(), absl::StatusCode::kDataLoss);
}

TEST(Stored, BehindTheChecksumOnlyTheCanonicalBytesDecode) {
  StoredRecord stored;
  stored.note = MintNote{ActorId(3), Incarnation(4)};
  Write(&stored.record, {}, Sibling{.dot = {ActorId(3), 1}, .value = "value"});
  const Bytes bytes = Encode(stored);
  const Bytes body = bytes.substr(0, bytes.size() - 8);
  for (size_t i = 0; i < body.size(); ++i) {
    for (int value = 0; value < 256; ++value) {
      Bytes altered = body;
      altered[i] = static_cast<char>(value);
      AppendChecksum(&altered);
      const auto decoded = DecodeStored(altered);
      if (decoded.ok()) {
        EXPECT_EQ(Encode(*decoded), altered);
      } else {
        EXPECT_EQ(decoded.status().code(), absl::StatusCode::kDataLoss);
      }
    }
  }
}

}  // namespace
}  // namespace annulus
