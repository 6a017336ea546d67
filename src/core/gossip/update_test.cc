#include "core/gossip/update.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace annulus {
namespace {

// Statements about one node; as in life, one refutation number comes with one set of facts.
GossipUpdate AnyUpdate() {
  GossipUpdate update{.node = NodeId(7), .refutation = *rc::gen::inRange<uint64_t>(0, 4)};
  update.standing = static_cast<Standing>(*rc::gen::inRange(0, 3));
  update.facts = {.incarnation = Incarnation(100 + update.refutation),
                  .peer_address = "node-7:" + std::to_string(update.refutation),
                  .sequence = update.refutation};
  if (update.standing == Standing::kSuspect) {
    for (uint64_t id = 1; id <= 4; ++id) {
      if (*rc::gen::arbitrary<bool>()) update.suspectors.push_back(NodeId(id));
    }
  }
  return update;
}

GossipUpdate Merged(GossipUpdate a, const GossipUpdate& b) {
  Merge(&a, b);
  return a;
}

RC_GTEST_PROP(GossipUpdate, MergeIsALatticeJoin, ()) {
  const GossipUpdate a = AnyUpdate(), b = AnyUpdate(), c = AnyUpdate();
  RC_ASSERT(Merged(a, b) == Merged(b, a));
  RC_ASSERT(Merged(Merged(a, b), c) == Merged(a, Merged(b, c)));
  RC_ASSERT(Merged(a, a) == a);
  GossipUpdate merged = a;
  const bool changed = Merge(&merged, b);
  RC_ASSERT(changed == (merged != a));
}

TEST(GossipUpdate, ARefutationBeatsEveryStandingOfLowerNumber) {
  GossipUpdate dead{.node = NodeId(7), .refutation = 3, .standing = Standing::kDead};
  const GossipUpdate same{.node = NodeId(7), .refutation = 3};
  EXPECT_EQ(Merged(dead, same).standing, Standing::kDead);
  const GossipUpdate higher{.node = NodeId(7), .refutation = 4};
  EXPECT_EQ(Merged(dead, higher).standing, Standing::kAlive);
  EXPECT_EQ(Merged(higher, dead).standing, Standing::kAlive);
}

RC_GTEST_PROP(GossipUpdate, ComesBackFromItsEncoding, ()) {
  const GossipUpdate first = AnyUpdate(), second = AnyUpdate();
  Bytes bytes;
  PutUpdate(&bytes, first);
  PutUpdate(&bytes, second);
  ByteReader reader(bytes);
  GossipUpdate decoded;
  RC_ASSERT(TakeUpdate(&reader, &decoded));
  RC_ASSERT(decoded == first);
  RC_ASSERT(TakeUpdate(&reader, &decoded));
  RC_ASSERT(decoded == second);
  RC_ASSERT(reader.done());
}

RC_GTEST_PROP(GossipUpdate, WhatIsCutShortOrAlteredIsRefusedOrHarmless, (const Bytes& noise)) {
  Bytes bytes;
  PutUpdate(&bytes, AnyUpdate());
  ByteReader shortened(BytesView(bytes).substr(0, *rc::gen::inRange<size_t>(0, bytes.size())));
  GossipUpdate decoded;
  RC_ASSERT(!TakeUpdate(&shortened, &decoded));
  ByteReader strange(noise);
  while (!strange.done() && TakeUpdate(&strange, &decoded)) {
  }
}

TEST(GossipUpdate, FieldsOfALaterVersionArePassedOver) {
  Bytes bytes;
  PutUpdate(&bytes, {.node = NodeId(7), .refutation = 3});
  Bytes longer;
  PutSized(&longer, Bytes(BytesView(bytes).substr(1)) + "new fields");
  PutUpdate(&longer, {.node = NodeId(8)});
  ByteReader reader(longer);
  GossipUpdate decoded;
  ASSERT_TRUE(TakeUpdate(&reader, &decoded));
  EXPECT_EQ(decoded.refutation, 3u);
  ASSERT_TRUE(TakeUpdate(&reader, &decoded));
  EXPECT_EQ(decoded.node, NodeId(8));
}

}  // namespace
}  // namespace annulus
