#include <gtest/gtest.h>

#include "core/error.h"
#include "node/map_storage_for_test.h"

namespace annulus {
namespace {

const NodeId kTarget{7};
const Place kHint{{"default", "k", ""}, kTarget};

Bytes RecordWith(uint64_t counter, size_t size = 1) {
  Record record;
  Write(&record, {}, Sibling{.dot = {ActorId{9}, counter}, .value = Bytes(size, 'v')});
  return Encode(record);
}

class ReplicaHintsTest : public testing::Test {
 protected:
  ReplicaHintsTest() { EXPECT_EQ(Run(replica_.CountHints()), absl::OkStatus()); }

  absl::Status Run(Task<absl::Status> task) { return at_.Run(std::move(task)); }
  absl::Status Merge(Bytes record, Epoch stamp, bool counted) {
    return Run(replica_.ApplyMerge(kHint, {std::move(record), stamp, counted}));
  }
  // The one hint there is, as it lies on the disk.
  Bytes Stored() {
    for (const auto& [key, value] : storage_.entries) {
      if (key.first == ColumnFamily::kHint) return value;
    }
    return {};
  }
  Hint TheHint() { return DecodeHint(Stored()).value_or(Hint()); }

  ReplicaForTest at_{
      Replica::Options{.hint_limits = {.bytes_max = 1000, .bytes_per_target_max = 1000}}};
  MapStorage& storage_ = at_.storage;
  Replica& replica_ = at_.replica;
};

TEST_F(ReplicaHintsTest, MergesKeepTheLowestStampAndStayCounted) {
  EXPECT_EQ(Merge(RecordWith(1), Epoch(5), true), absl::OkStatus());
  EXPECT_EQ(TheHint().stored.epoch, Epoch(5));
  EXPECT_EQ(Merge(RecordWith(2), Epoch(3), false), absl::OkStatus());
  EXPECT_EQ(Merge(RecordWith(3), Epoch(9), false), absl::OkStatus());
  EXPECT_EQ(TheHint().stored.epoch, Epoch(3));
  EXPECT_TRUE(TheHint().counted);
  EXPECT_EQ(TheHint().stored.record.siblings.size(), 3u);
  EXPECT_EQ(replica_.hints().AccountOf(kTarget).entries, 1u);
}

// A start counts the hints of its last life page by page, while others tell it which of them are
// stale.
TEST_F(ReplicaHintsTest, AreNotRemovedBeforeTheyAreCounted) {
  ASSERT_TRUE(Merge(RecordWith(1), Epoch(1), true).ok());
  Replica again(at_.env, Incarnation{6}, &at_.epochs, {});
  EXPECT_TRUE(absl::IsUnavailable(Run(again.Discard(kHint, Stored()))));
  const Bytes key = HintKey(kTarget, DataKey(kHint.item, ReplicaForTest::kPartitions));
  EXPECT_TRUE(absl::IsUnavailable(Run(again.DropDamaged(ColumnFamily::kHint, key))));
  EXPECT_FALSE(Stored().empty());
  ASSERT_EQ(Run(again.CountHints()), absl::OkStatus());
  EXPECT_EQ(Run(again.Discard(kHint, Stored())), absl::OkStatus());
  EXPECT_EQ(again.hints().total().entries, 0u);
}

TEST_F(ReplicaHintsTest, AreRemovedOnlyAsTheyWereSent) {
  ASSERT_TRUE(Merge(RecordWith(1), Epoch(1), true).ok());
  const Bytes sent = Stored();
  ASSERT_TRUE(Merge(RecordWith(2), Epoch(1), true).ok());
  EXPECT_EQ(Run(replica_.Discard(kHint, sent)), absl::OkStatus());
  EXPECT_EQ(TheHint().stored.record.siblings.size(), 2u);
  EXPECT_EQ(Run(replica_.Discard(kHint, Stored())), absl::OkStatus());
  EXPECT_TRUE(Stored().empty());
  EXPECT_EQ(replica_.hints().total().entries, 0u);
  EXPECT_EQ(replica_.hints().total().bytes, 0u);
}

TEST_F(ReplicaHintsTest, APointerThatIsWrittenAgainIsAnotherOne) {
  EXPECT_EQ(Run(replica_.Point(kHint)), absl::OkStatus());
  const Bytes sent = Stored();
  EXPECT_NE(TheHint().pointer, 0u);
  ASSERT_TRUE(Run(replica_.Point(kHint)).ok());
  ASSERT_TRUE(Run(replica_.Discard(kHint, sent)).ok());
  EXPECT_NE(TheHint().pointer, 0u);
}

TEST_F(ReplicaHintsTest, OverTheLimitNothingIsTakenAndNothingGoes) {
  EXPECT_EQ(Merge(RecordWith(1, 600), Epoch(1), true), absl::OkStatus());
  const Bytes before = Stored();
  const absl::Status refused = Merge(RecordWith(2, 600), Epoch(1), true);
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_EQ(DetailsOf(refused).reason, "HINTS_FULL");
  EXPECT_EQ(DetailsOf(refused).outcome, Outcome::kNotApplied);
  EXPECT_EQ(Stored(), before);
}

TEST_F(ReplicaHintsTest, AreCountedAgainAtAStart) {
  ASSERT_TRUE(Merge(RecordWith(1), Epoch(1), true).ok());
  const HintLedger::Account before = replica_.hints().total();
  Replica again(at_.env, Incarnation{6}, &at_.epochs, Replica::Options{});
  const absl::Status early = Run(again.ApplyMerge(kHint, {RecordWith(2), Epoch(1)}));
  EXPECT_EQ(DetailsOf(early).reason, "HINTS_FULL");
  EXPECT_EQ(Run(again.CountHints()), absl::OkStatus());
  EXPECT_EQ(again.hints().total().entries, 1u);
  EXPECT_EQ(again.hints().total().bytes, before.bytes);
}

}  // namespace
}  // namespace annulus
