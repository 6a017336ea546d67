#include "core/version/vector.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <limits>
#include <set>
#include <vector>

namespace annulus {
namespace {

using Model = std::set<Dot>;

// Few actors and counters: runs meet, and holes close.
rc::Gen<std::vector<Dot>> Dots() {
  return rc::gen::container<std::vector<Dot>>(rc::gen::map(
      rc::gen::pair(rc::gen::inRange<uint64_t>(1, 4), rc::gen::inRange<uint64_t>(1, 16)),
      [](const std::pair<uint64_t, uint64_t>& p) {
        return Dot{ActorId(p.first), p.second};
      }));
}

VersionVector VectorOf(const std::vector<Dot>& dots) {
  VersionVector vector;
  for (Dot dot : dots) vector.Add(dot);
  return vector;
}

Bytes EncodingOf(const VersionVector& vector) {
  Bytes bytes;
  vector.EncodeTo(&bytes);
  return bytes;
}

// By every question there is.
void AssertEqual(const VersionVector& vector, const Model& model) {
  std::set<ActorId> actors;
  for (uint64_t actor = 0; actor < 5; ++actor) {
    uint64_t most = 0;
    for (uint64_t counter = 0; counter < 20; ++counter) {
      const Dot dot{ActorId(actor), counter};
      RC_ASSERT(vector.Covers(dot) == model.contains(dot));
      if (model.contains(dot)) most = counter;
    }
    RC_ASSERT(vector.MaxCounter(ActorId(actor)) == most);
    if (most > 0) actors.insert(ActorId(actor));
  }
  RC_ASSERT(vector.width() == actors.size());
  RC_ASSERT(vector.empty() == model.empty());
  // Canonical: the order in which the dots came leaves no trace.
  const VersionVector sorted = VectorOf({model.begin(), model.end()});
  RC_ASSERT(vector == sorted);
  RC_ASSERT(EncodingOf(vector) == EncodingOf(sorted));
}

RC_GTEST_PROP(VersionVector, CoversExactlyTheDotsThatWereAdded, ()) {
  const auto dots = *Dots();
  AssertEqual(VectorOf(dots), Model(dots.begin(), dots.end()));
}

RC_GTEST_PROP(VersionVector, RemoveTakesOutOneDot, ()) {
  const auto dots = *Dots();
  const auto removed = *Dots();
  VersionVector vector = VectorOf(dots);
  Model model(dots.begin(), dots.end());
  for (Dot dot : removed) {
    vector.Remove(dot);
    model.erase(dot);
    AssertEqual(vector, model);
  }
  for (Dot dot : removed) {
    vector.Add(dot);
    model.insert(dot);
    AssertEqual(vector, model);
  }
}

RC_GTEST_PROP(VersionVector, MergeIsTheUnion, ()) {
  const auto a = *Dots();
  const auto b = *Dots();
  VersionVector merged = VectorOf(a);
  merged.Merge(VectorOf(b));
  Model model(a.begin(), a.end());
  model.insert(b.begin(), b.end());
  AssertEqual(merged, model);
}

RC_GTEST_PROP(VersionVector, CoversAnotherIffItHasAllItsDots, ()) {
  auto a = *Dots();
  const auto b = *Dots();
  if (*rc::gen::arbitrary<bool>()) a.insert(a.end(), b.begin(), b.end());  // Else seldom true.
  const Model model_a(a.begin(), a.end()), model_b(b.begin(), b.end());
  RC_ASSERT(VectorOf(a).Covers(VectorOf(b)) ==
            std::includes(model_a.begin(), model_a.end(), model_b.begin(), model_b.end()));
}

RC_GTEST_PROP(VersionVector, ComesBackFromItsEncoding, ()) {
  const VersionVector vector = VectorOf(*Dots());
  Bytes bytes = EncodingOf(vector);
  RC_ASSERT(bytes.size() == vector.EncodedSize());
  bytes += "rest";
  ByteReader reader(bytes);
  VersionVector decoded;
  RC_ASSERT(decoded.DecodeFrom(&reader));
  RC_ASSERT(decoded == vector);
  RC_ASSERT(reader.rest() == "rest");
}

RC_GTEST_PROP(VersionVector, WhateverDecodesIsCanonical, ()) {
  Bytes bytes = EncodingOf(VectorOf(*Dots()));
  for (int i = *rc::gen::inRange(0, 4); i > 0; --i) {
    bytes[*rc::gen::inRange<size_t>(0, bytes.size())] = *rc::gen::arbitrary<char>();
  }
  bytes.resize(*rc::gen::inRange<size_t>(0, bytes.size() + 1));
  ByteReader reader(bytes);
  VersionVector decoded;
  if (!decoded.DecodeFrom(&reader)) return;
  RC_ASSERT(EncodingOf(decoded) == bytes.substr(0, bytes.size() - reader.rest().size()));
}

TEST(VersionVector, AHoleInALongHistoryStaysSmall) {
  VersionVector vector;
  const ActorId actor(7);
  for (uint64_t counter = 1; counter <= 100'000; ++counter) vector.Add({actor, counter});
  vector.Remove({actor, 5});
  EXPECT_LT(vector.EncodedSize(), 20u);
  EXPECT_EQ(vector.ToString(), "{0000000000000007:4+{6-100000}}");
  vector.Add({actor, 5});
  EXPECT_EQ(vector.ToString(), "{0000000000000007:100000}");
}

TEST(VersionVector, TheLastCounterIsLikeAnyOther) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  const ActorId actor(1);
  VersionVector vector;
  vector.Add({actor, kMax});
  vector.Add({actor, kMax - 2});
  EXPECT_FALSE(vector.Covers(Dot{actor, kMax - 1}));
  vector.Add({actor, kMax - 1});
  EXPECT_TRUE(vector.Covers(Dot{actor, kMax}));
  EXPECT_EQ(vector.MaxCounter(actor), kMax);
  const Bytes bytes = EncodingOf(vector);
  ByteReader reader(bytes);
  VersionVector decoded;
  ASSERT_TRUE(decoded.DecodeFrom(&reader));
  EXPECT_EQ(decoded, vector);
  vector.Remove({actor, kMax});
  EXPECT_EQ(vector.MaxCounter(actor), kMax - 1);
}

TEST(VersionVector, RefusesCountersThatOverflow) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  // {base, missing, length} of one actor with one run.
  for (const auto& [base, missing, length] : std::vector<std::array<uint64_t, 3>>{
           {kMax, 0, 0}, {kMax - 1, 0, 0}, {5, kMax - 6, 0}, {5, 0, kMax - 6}, {1, kMax, kMax}}) {
    Bytes bytes;
    PutVarint(&bytes, 1);
    PutFixed64(&bytes, 9);
    PutVarint(&bytes, base);
    PutVarint(&bytes, 1);
    PutVarint(&bytes, missing);
    PutVarint(&bytes, length);
    ByteReader reader(bytes);
    VersionVector vector;
    EXPECT_FALSE(vector.DecodeFrom(&reader));
  }
}

TEST(VersionVector, IsPrintedForPeople) {
  const ActorId a(0xa), b(0xb);
  EXPECT_EQ(VersionVector().ToString(), "{}");
  EXPECT_EQ(VectorOf({{b, 3}, {a, 1}, {a, 2}, {a, 5}, {a, 7}, {a, 8}}).ToString(),
            "{000000000000000a:2+{5,7-8}, 000000000000000b:0+{3}}");
  EXPECT_EQ(ToString(Dot{a, 4}), "000000000000000a:4");
}

}  // namespace
}  // namespace annulus
