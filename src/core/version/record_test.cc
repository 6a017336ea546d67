#include "core/version/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <set>
#include <tuple>
#include <vector>

#include "base/checksum.h"
#include "core/version/history_for_test.h"

namespace annulus {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

using Steps = std::vector<std::tuple<uint8_t, uint8_t, uint8_t>>;

History Replay(const Steps& steps) {
  History history(/*seed=*/1);
  for (const auto& [kind, a, b] : steps) history.Step(kind, a, b);
  return history;
}

Record Merged(Record a, const Record& b) {
  Merge(&a, b);
  return a;
}

Sibling SiblingOf(Dot dot, Bytes value = "value") { return Sibling{.dot = dot, .value = value}; }

Record RecordOf(std::vector<Sibling> siblings) {
  Record record;
  for (Sibling& sibling : siblings) Write(&record, {}, std::move(sibling));
  return record;
}

std::vector<Bytes> ValuesOf(const Shown& shown) {
  std::vector<Bytes> values;
  for (const Sibling* sibling : shown.siblings) values.push_back(sibling->value);
  return values;
}

// Three records of one history, from anywhere and any time.
struct Three {
  Record a, b, c;
};
Three AnyThree() {
  const History history = Replay(*rc::gen::arbitrary<Steps>());
  auto any = [&] { return history.AnyRecord(*rc::gen::inRange<uint32_t>(0, 1000)); };
  Three three;
  three.a = any();
  three.b = any();
  three.c = any();
  return three;
}

RC_GTEST_PROP(Merge, IsCommutative, ()) {
  const auto [a, b, c] = AnyThree();
  RC_ASSERT(Merged(a, b) == Merged(b, a));
}

RC_GTEST_PROP(Merge, IsAssociative, ()) {
  const auto [a, b, c] = AnyThree();
  RC_ASSERT(Merged(Merged(a, b), c) == Merged(a, Merged(b, c)));
}

RC_GTEST_PROP(Merge, IsIdempotent, ()) {
  const auto [a, b, c] = AnyThree();
  RC_ASSERT(Merged(a, a) == a);
  RC_ASSERT(Merged(Merged(a, b), b) == Merged(a, b));
}

RC_GTEST_PROP(Merge, SaysWhetherItChangedAnything, ()) {
  const auto [a, b, c] = AnyThree();
  Record merged = a;
  const bool changed = Merge(&merged, b);
  RC_ASSERT(changed == !(merged == a));
  RC_ASSERT(!Merge(&merged, b));
  RC_ASSERT(SameVersions(merged, a) == (merged == a));
}

RC_GTEST_PROP(Merge, KeepsTheInvariantsOfARecord, ()) {
  const auto [a, b, c] = AnyThree();
  const Record merged = Merged(a, b);
  for (size_t i = 0; i < merged.siblings.size(); ++i) {
    RC_ASSERT(merged.vector.Covers(merged.siblings[i].dot));
    if (i > 0) RC_ASSERT(merged.siblings[i - 1].dot < merged.siblings[i].dot);
  }
  RC_ASSERT(merged.vector.Covers(a.vector));
  RC_ASSERT(merged.vector.Covers(b.vector));
}

// The promise itself: a write stands until a write stands in its place whose context covered it,
// and what was covered does not come back; whatever was lost, late, doubled or cut short on the
// way.
RC_GTEST_PROP(Record, KeepsExactlyTheWritesThatNoOtherWriteCovered, (const Steps& steps)) {
  const History history = Replay(steps);
  const Record all = history.Everything();
  RC_ASSERT(DotsOf(all) == history.Standing());
  RC_ASSERT(history.DotsIn(all.vector) == history.Minted());
}

TEST(Record, ManyLongHistories) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    History history(seed);
    for (int step = 0; step < 100; ++step) {
      const uint64_t bits = random.Next();
      history.Step(static_cast<uint8_t>(bits), static_cast<uint8_t>(bits >> 8),
                   static_cast<uint8_t>(bits >> 16));
    }
    ASSERT_GT(history.writes(), 20u);
    ASSERT_EQ(DotsOf(history.Everything()), history.Standing()) << "seed " << seed;
  }
}

RC_GTEST_PROP(Record, ComesBackFromItsEncoding, (const Steps& steps)) {
  const Record record = Replay(steps).Everything();
  const Bytes bytes = Encode(record);
  RC_ASSERT(bytes.size() == SizeOf(record));
  const auto decoded = DecodeRecord(bytes);
  RC_ASSERT(decoded.ok());
  RC_ASSERT(*decoded == record);
}

RC_GTEST_PROP(Record, ATruncatedOrAlteredEncodingIsDataLoss, (const Steps& steps)) {
  const Bytes bytes = Encode(Replay(steps).Everything());
  const size_t cut = *rc::gen::inRange<size_t>(0, bytes.size());
  RC_ASSERT(DecodeRecord(bytes.substr(0, cut)).status().code() == absl::StatusCode::kDataLoss);
  RC_ASSERT(DecodeRecord(bytes + Bytes(1, '\0')).status().code() == absl::StatusCode::kDataLoss);
  for (int i = 0; i < 50; ++i) {
    Bytes altered = bytes;
    altered[*rc::gen::inRange<size_t>(0, bytes.size())] ^=
        static_cast<char>(1 << *rc::gen::inRange(0, 8));
    RC_ASSERT(DecodeRecord(altered).status().code() == absl::StatusCode::kDataLoss);
  }
}

// Behind the checksum, the parser itself: it takes nothing but what an encoder writes.
RC_GTEST_PROP(Record, WhateverDecodesIsCanonical, (const Steps& steps)) {
  Bytes body;
  AppendRecord(&body, Replay(steps).Everything());
  for (int i = *rc::gen::inRange(1, 4); i > 0; --i) {
    // Near the front, where the structure is.
    const size_t at = *rc::gen::inRange<size_t>(0, std::min<size_t>(body.size(), 100));
    body[at] = static_cast<char>(*rc::gen::inRange(0, 256));
  }
  Bytes sealed = body;
  AppendChecksum(&sealed);
  const auto decoded = DecodeRecord(sealed);
  if (decoded.ok()) {
    RC_ASSERT(Encode(*decoded) == sealed);
  } else {
    RC_ASSERT(decoded.status().code() == absl::StatusCode::kDataLoss);
  }
}

TEST(Record, EveryFieldOfASiblingComesBack) {
  Sibling value = SiblingOf({ActorId(1), 300}, Bytes(70'000, '\xff'));
  value.write_time.micros = -1;
  value.expires.micros = 1'700'000'000'000'000;
  value.request_id.fill('r');
  Sibling tombstone = {.dot = {ActorId(2), 1}, .tombstone = true, .write_time = {12}};
  const Record record = RecordOf({value, tombstone});
  const auto decoded = DecodeRecord(Encode(record));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, record);
  EXPECT_EQ(Encode(record).size(), SizeOf(record));
}

TEST(Write, DropsWhatTheContextCoversAndNothingElse) {
  const Dot a{ActorId(1), 1}, b{ActorId(2), 1}, c{ActorId(1), 2};
  Record record = RecordOf({SiblingOf(a), SiblingOf(b)});
  VersionVector context;
  context.Add(a);
  Write(&record, context, SiblingOf(c));
  EXPECT_THAT(DotsOf(record), ElementsAre(c, b));
  EXPECT_TRUE(record.vector.Covers(a));
}

TEST(WriteDeath, ADotIsNeverWrittenTwice) {
  const Dot a{ActorId(1), 1};
  Record record = RecordOf({SiblingOf(a)});
  EXPECT_DEATH(Write(&record, {}, SiblingOf(a)), "invariant");
}

TEST(Merge, ADeleteBesideAPutKeepsThePut) {
  const Dot old{ActorId(1), 1}, put{ActorId(1), 2}, tombstone{ActorId(2), 1};
  Record left = RecordOf({SiblingOf(old)});
  Record right = left;
  const VersionVector seen = left.vector;
  Write(&left, seen, SiblingOf(put, "new"));
  Write(&right, seen, {.dot = tombstone, .tombstone = true});
  const Record merged = Merged(left, right);
  EXPECT_THAT(DotsOf(merged), ElementsAre(put, tombstone));
  const Shown shown = Show(merged, {}, 1 << 20);
  EXPECT_THAT(ValuesOf(shown), ElementsAre("new"));
  EXPECT_TRUE(shown.tombstone);
  EXPECT_EQ(shown.context, merged.vector);
}

TEST(Show, NothingWasEverThere) {
  const Record record;
  const Shown shown = Show(record, {}, 1 << 20);
  EXPECT_THAT(shown.siblings, IsEmpty());
  EXPECT_TRUE(shown.context.empty());
  EXPECT_FALSE(shown.more);
  EXPECT_FALSE(shown.tombstone);
}

TEST(Show, ATombstoneIsNotShownButItsContextIs) {
  const Record record = RecordOf({{.dot = {ActorId(1), 1}, .tombstone = true}});
  const Shown shown = Show(record, {}, 1 << 20);
  EXPECT_THAT(shown.siblings, IsEmpty());
  EXPECT_TRUE(shown.tombstone);
  EXPECT_EQ(shown.context, record.vector);
}

TEST(Show, AnExpiredValueIsHiddenAndCovered) {
  Sibling mortal = SiblingOf({ActorId(1), 1}, "mortal");
  mortal.expires.micros = 1000;
  const Record record = RecordOf({mortal, SiblingOf({ActorId(2), 1}, "immortal")});
  EXPECT_THAT(ValuesOf(Show(record, {999}, 1 << 20)), ElementsAre("mortal", "immortal"));
  EXPECT_THAT(ValuesOf(Show(record, {1000}, 1 << 20)), ElementsAre("immortal"));
  EXPECT_EQ(Show(record, {1000}, 1 << 20).context, record.vector);
}

TEST(Show, TwoMintsOfOneRequestAreOneValue) {
  Sibling first = SiblingOf({ActorId(1), 1}, "first");
  first.request_id.fill('x');
  Sibling second = SiblingOf({ActorId(2), 1}, "second");
  second.request_id = first.request_id;
  // Two writes without a name are two writes.
  const Record record =
      RecordOf({first, second, SiblingOf({ActorId(3), 1}, "a"), SiblingOf({ActorId(4), 1}, "b")});
  const Shown shown = Show(record, {}, 1 << 20);
  EXPECT_THAT(ValuesOf(shown), ElementsAre("first", "a", "b"));
  EXPECT_EQ(shown.context, record.vector);
}

TEST(Show, ARecordTooLargeForOneAnswerIsReadInParts) {
  Record record;
  for (uint64_t i = 1; i <= 10; ++i)
    Write(&record, {}, SiblingOf({ActorId(i), 1}, Bytes(1000, 'v')));
  int answers = 0;
  // Each answer is replaced by one write, as a client does that merges what it was shown.
  for (uint64_t actor = 100; record.siblings.size() > 1; ++actor) {
    const Shown shown = Show(record, {}, 3500);
    EXPECT_EQ(shown.siblings.size(), 3u);
    EXPECT_TRUE(shown.more);
    const VersionVector context = shown.context;
    const size_t before = record.siblings.size();
    Write(&record, context, SiblingOf({ActorId(actor), 1}, Bytes(1000, 'm')));
    EXPECT_EQ(record.siblings.size(), before - 3 + 1);
    ++answers;
    if (record.siblings.size() < 4) break;
  }
  EXPECT_EQ(answers, 4);
}

TEST(Show, ShowsAtLeastOne) {
  const Record record = RecordOf({SiblingOf({ActorId(1), 1}, Bytes(1000, 'v'))});
  EXPECT_EQ(Show(record, {}, 10).siblings.size(), 1u);
  EXPECT_FALSE(Show(record, {}, 10).more);
}

RC_GTEST_PROP(Show, TheContextCoversAllButWhatIsLeftOut, (const Steps& steps)) {
  const Record record = Replay(steps).Everything();
  const Shown shown = Show(record, {}, *rc::gen::inRange<size_t>(0, 500));
  std::set<Dot> shown_dots;
  for (const Sibling* sibling : shown.siblings) shown_dots.insert(sibling->dot);
  VersionVector whole = shown.context;
  bool left_out = false;
  for (const Sibling& sibling : record.siblings) {
    const bool seen = sibling.tombstone || shown_dots.contains(sibling.dot);
    RC_ASSERT(shown.context.Covers(sibling.dot) == seen);
    left_out |= !seen;
    whole.Add(sibling.dot);
  }
  RC_ASSERT(whole == record.vector);
  RC_ASSERT(shown.more == left_out);
}

RC_GTEST_PROP(Digest, IsEqualForEqualVersionsOnly, ()) {
  const auto [a, b, c] = AnyThree();
  const Item item{"default", "key", ""};
  RC_ASSERT((DigestOf(item, a) == DigestOf(item, b)) == SameVersions(a, b));
  RC_ASSERT(DigestOf(item, WithoutValues(a)) == DigestOf(item, a));
}

TEST(Digest, BindsTheItem) {
  const Record record = RecordOf({SiblingOf({ActorId(1), 1})});
  std::set<uint64_t> digests;
  for (const Item& item : {Item{"b", "k", "s"}, Item{"bk", "", "s"}, Item{"b", "ks", ""},
                           Item{"", "bk", "s"}, Item{"b", "", "ks"}}) {
    digests.insert(DigestOf(item, record));
  }
  EXPECT_EQ(digests.size(), 5u);
  EXPECT_EQ(DigestOf(Item{"b", "k", ""}, Record{}), 0u);
}

TEST(Record, WithoutValuesKeepsTheRest) {
  Record record = RecordOf({SiblingOf({ActorId(1), 1}, "v")});
  const Record keys = WithoutValues(record);
  record.siblings[0].value.clear();
  EXPECT_EQ(keys, record);
}

}  // namespace
}  // namespace annulus
