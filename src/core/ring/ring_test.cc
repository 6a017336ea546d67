#include "core/ring/ring.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <tuple>
#include <vector>

#include "base/checksum.h"

namespace annulus {
namespace {

rc::Gen<Bytes> Text() {
  return rc::gen::container<Bytes>(rc::gen::element('\0', '\x01', 'a', 'b', '\xff'));
}
rc::Gen<Bytes> Bucket() {
  return rc::gen::nonEmpty(rc::gen::container<Bytes>(rc::gen::element('a', 'b', '-', '9')));
}

// Data lies where these say: they are fixed for ever.
TEST(Ring, TheHashIsFixed) {
  EXPECT_EQ(RingHash("default", "key"), Hash64(Bytes("\x07"
                                                     "default"
                                                     "key")));
  EXPECT_EQ(RingHash("default", "key"), 0x54bc3b23ed904723u);
  EXPECT_NE(RingHash("a", "bc"), RingHash("ab", "c"));
}

TEST(Ring, PartitionAndLeafAreTheTopBits) {
  const uint64_t hash = 0xabcdef0123456789;
  EXPECT_EQ(PartitionOf(hash, 1), PartitionId(0));
  EXPECT_EQ(PartitionOf(hash, 2), PartitionId(1));
  EXPECT_EQ(PartitionOf(hash, 256), PartitionId(0xab));
  EXPECT_EQ(PartitionOf(hash, 65536), PartitionId(0xabcd));
  EXPECT_EQ(LeafOf(hash, 1), 0xabcdu >> 6);
  EXPECT_EQ(LeafOf(hash, 256), 0xcdefu >> 6);
  EXPECT_EQ(LeafOf(hash, 65536), 0xef01u >> 6);
}

TEST(RingDeath, PartitionsAreAPowerOfTwo) {
  EXPECT_DEATH(PartitionOf(1, 0), "invariant");
  EXPECT_DEATH(PartitionOf(1, 100), "invariant");
  EXPECT_DEATH(PartitionOf(1, 131072), "invariant");
}

TEST(Ring, KeysAreSpreadEvenly) {
  std::vector<int> counts(256);
  for (int i = 0; i < 256'000; ++i) {
    ++counts[PartitionOf(RingHash("default", "key-" + std::to_string(i)), 256).value()];
  }
  for (int count : counts) EXPECT_NEAR(count, 1000, 200);
}

RC_GTEST_PROP(DataKey, ComesBack, ()) {
  const Item item{*Bucket(), *Text(), *Text()};
  const uint32_t partitions = 1u << *rc::gen::inRange(0, 17);
  const auto parsed = ParseDataKey(DataKey(item, partitions));
  RC_ASSERT(parsed.ok());
  RC_ASSERT(parsed->item == item);
  const uint64_t hash = RingHash(item.bucket, item.key);
  RC_ASSERT(parsed->partition == PartitionOf(hash, partitions));
  RC_ASSERT(parsed->leaf == LeafOf(hash, partitions));
}

RC_GTEST_PROP(DataKey, OrderIsPartitionBucketLeafKeySortKey, ()) {
  const Item a{*Bucket(), *Text(), *Text()}, b{*Bucket(), *Text(), *Text()};
  const uint32_t partitions = 1u << *rc::gen::inRange(0, 3);
  auto place = [&](const Item& item) {
    const uint64_t hash = RingHash(item.bucket, item.key);
    return std::tuple(PartitionOf(hash, partitions), item.bucket, LeafOf(hash, partitions),
                      item.key, item.sort_key);
  };
  RC_ASSERT((DataKey(a, partitions) < DataKey(b, partitions)) == (place(a) < place(b)));
}

RC_GTEST_PROP(DataKey, RangesHoldExactlyWhatIsTheirs, ()) {
  const Item a{*Bucket(), *Text(), *Text()}, b{*Bucket(), *Text(), *Text()};
  const Item same_key{a.bucket, a.key, b.sort_key};
  const uint32_t partitions = 1u << *rc::gen::inRange(0, 3);
  auto within = [](const KeyRange& range, const Bytes& key) {
    return range.begin <= key && key < range.end;
  };
  const PartitionId partition = PartitionOf(RingHash(a.bucket, a.key), partitions);
  const KeyRange bucket = BucketRange(partition, a.bucket);
  const KeyRange sort_keys = SortKeyRange(a.bucket, a.key, partitions);
  for (const Item& item : {a, b, same_key}) {
    const Bytes key = DataKey(item, partitions);
    const bool same_partition =
        PartitionOf(RingHash(item.bucket, item.key), partitions) == partition;
    RC_ASSERT(within(bucket, key) == (item.bucket == a.bucket && same_partition));
    RC_ASSERT(within(sort_keys, key) == (item.bucket == a.bucket && item.key == a.key));
  }
}

RC_GTEST_PROP(DataKey, NothingLiesBetweenAKeyAndItsSuccessor, ()) {
  const Bytes a = *Text(), b = *Text();
  RC_ASSERT(a < Successor(a));
  RC_ASSERT(b <= a || b >= Successor(a));
}

RC_GTEST_PROP(DataKey, WhatDoesNotParseIsDataLoss, (Bytes bytes)) {
  Bytes key = DataKey(Item{*Bucket(), *Text(), *Text()}, 256);
  key.resize(*rc::gen::inRange<size_t>(0, key.size()));
  for (const Bytes& bad : {key, key + bytes, bytes}) {
    const auto parsed = ParseDataKey(bad);
    RC_ASSERT(parsed.ok() || parsed.status().code() == absl::StatusCode::kDataLoss);
  }
  RC_ASSERT(!ParseDataKey(key).ok());
}

RC_GTEST_PROP(LeafRange, HoldsExactlyTheItemsOfItsLeavesAndBucket, ()) {
  const uint32_t partitions = 1u << *rc::gen::inRange(0, 17);
  const Item item{*Bucket(), *Text(), *Text()};
  const Bytes key = DataKey(item, partitions);
  const LeafId id = LeafOf(key);
  RC_ASSERT(id.partition == ParseDataKey(key)->partition);
  RC_ASSERT(id.leaf == ParseDataKey(key)->leaf);
  RC_ASSERT(BucketOf(key) == item.bucket);

  const uint32_t first = *rc::gen::inRange<uint32_t>(0, kLeavesPerPartition);
  const uint32_t last = *rc::gen::inRange<uint32_t>(first, kLeavesPerPartition);
  const Bytes bucket = *rc::gen::element(item.bucket, item.bucket + "a", Bytes("a"));
  const KeyRange range = LeafRange(id.partition, bucket, first, last);
  RC_ASSERT((range.begin <= key && key < range.end) ==
            (bucket == item.bucket && first <= id.leaf && id.leaf <= last));
  const KeyRange whole = PartitionRange(id.partition);
  RC_ASSERT(whole.begin <= key && key < whole.end);
  if (id.partition.value() > 0) {
    RC_ASSERT(key >= PartitionRange(PartitionId(id.partition.value() - 1)).end);
  }
}

TEST(TreeKey, ComesBackInOrder) {
  for (const LeafId id : {LeafId{PartitionId(0), 0}, LeafId{PartitionId(65535), 1023}}) {
    EXPECT_EQ(*ParseTreeKey(TreeKey(id)), id);
    const KeyRange range = TreeRange(id.partition);
    EXPECT_LE(range.begin, TreeKey(id));
    EXPECT_LT(TreeKey(id), range.end);
  }
  for (const char* bad : {"", "abc", "\xff\xff\xff\xff", "12345"}) {
    EXPECT_FALSE(ParseTreeKey(bad).ok());
  }
}

}  // namespace
}  // namespace annulus
