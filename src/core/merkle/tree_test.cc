#include "core/merkle/tree.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>

#include "core/version/history_for_test.h"

namespace annulus {
namespace {

constexpr uint32_t kPartitions = 4;
const Item kItem{"default", "k", ""};

TEST(LeafDigest, IsNothingForNothing) { EXPECT_EQ(LeafDigest(kItem, StoredRecord{}), 0u); }

// The vector counts too: a copy that has seen a write and lost it to another is not one that has
// never seen it.
TEST(LeafDigest, SeesDotsAndVector) {
  StoredRecord stored;
  Random random(1);
  ApplyMint(&stored, Mint{.value = "v"}, Incarnation(1), Limits{}, &random);
  const uint64_t before = LeafDigest(kItem, stored);
  EXPECT_NE(before, 0u);
  EXPECT_NE(before, LeafDigest(Item{"default", "l", ""}, stored));
  StoredRecord seen = stored;
  seen.record.vector.Add({ActorId(9), 1});
  EXPECT_NE(before, LeafDigest(kItem, seen));
  // What is this node's own business does not count.
  stored.note.reset();
  stored.epoch = Epoch(7);
  EXPECT_EQ(before, LeafDigest(kItem, stored));
}

// Replicas that went different ways have equal digests exactly where they hold the same.
RC_GTEST_PROP(LeafDigest, TellsVersionsApart, (uint64_t seed)) {
  History history(seed);
  const auto steps = *rc::gen::container<std::vector<std::array<uint8_t, 3>>>(
      rc::gen::container<std::array<uint8_t, 3>>(rc::gen::arbitrary<uint8_t>()));
  for (const auto& step : steps) history.Step(step[0], step[1], step[2]);
  for (size_t a = 0; a < History::kReplicas; ++a) {
    for (size_t b = 0; b < a; ++b) {
      RC_ASSERT(SameVersions(history.replica(a).record, history.replica(b).record) ==
                (LeafDigest(kItem, history.replica(a)) == LeafDigest(kItem, history.replica(b))));
    }
  }
}

TEST(Leaves, ComeBack) {
  Leaves leaves(kLeavesPerPartition);
  for (uint32_t i = 0; i < kLeavesPerPartition; ++i) leaves[i] = i * 0x9e3779b97f4a7c15u;
  EXPECT_EQ(Encode(leaves).size(), 8u * kLeavesPerPartition);
  EXPECT_EQ(*DecodeLeaves(Encode(leaves)), leaves);
  EXPECT_FALSE(DecodeLeaves("short").ok());
  EXPECT_FALSE(DecodeLeaves(Encode(leaves) + "x").ok());
}

// What a few owners hold: digests by key, made of small numbers so that they often agree.
using Holdings = std::map<Bytes, uint64_t>;
Bytes KeyOf(uint8_t number) {
  return DataKey({"default", std::string(1, static_cast<char>('a' + number)), ""}, kPartitions);
}

struct Owner {
  std::vector<Leaves> trees = std::vector<Leaves>(kPartitions, Leaves(kLeavesPerPartition, 0));
  Holdings items;

  // As a node does: the XOR of before and after.
  void Set(const Bytes& key, uint64_t digest) {
    uint64_t& held = items[key];
    const LeafId id = LeafOf(key);
    trees[id.partition.value()][id.leaf] ^= held ^ digest;
    held = digest;
    if (digest == 0) items.erase(key);
  }
  std::vector<KeyDigest> List(PartitionId partition, const std::vector<uint32_t>& leaves) const {
    std::vector<KeyDigest> list;
    for (const auto& [key, digest] : items) {
      const LeafId id = LeafOf(key);
      if (id.partition == partition && std::count(leaves.begin(), leaves.end(), id.leaf) > 0) {
        list.push_back({key, digest});
      }
    }
    return list;
  }
};

// Roots, leaves and lists together find every item that is not alike, and no other.
RC_GTEST_PROP(Exchange, FindsExactlyTheDifferences, ()) {
  std::vector<Owner> owners(*rc::gen::inRange<size_t>(2, 5));
  const auto writes = *rc::gen::container<std::vector<std::tuple<uint8_t, uint8_t, uint8_t>>>(
      rc::gen::tuple(rc::gen::inRange<uint8_t>(0, 7), rc::gen::inRange<uint8_t>(0, 26),
                     rc::gen::inRange<uint8_t>(0, 3)));
  for (const auto& [owner, key, digest] : writes) {
    // Numbers beyond the owners write everywhere.
    for (size_t i = 0; i < owners.size(); ++i) {
      if (owner == i || owner >= owners.size()) owners[i].Set(KeyOf(key), digest);
    }
  }

  std::vector<Bytes> found;
  for (uint32_t p = 0; p < kPartitions; ++p) {
    std::vector<Leaves> trees;
    for (const Owner& owner : owners) trees.push_back(owner.trees[p]);
    const std::vector<uint32_t> leaves = DifferingLeaves(trees);
    const bool equal_roots = std::all_of(trees.begin(), trees.end(), [&](const Leaves& tree) {
      return RootOf(tree) == RootOf(trees[0]);
    });
    RC_ASSERT(!leaves.empty() || equal_roots);
    std::vector<std::vector<KeyDigest>> lists;
    for (const Owner& owner : owners) lists.push_back(owner.List(PartitionId(p), leaves));
    for (const Difference& difference : Compare(lists)) {
      for (size_t i = 0; i < owners.size(); ++i) {
        const auto held = owners[i].items.find(difference.data_key);
        RC_ASSERT(difference.digests[i] == (held == owners[i].items.end() ? 0 : held->second));
      }
      found.push_back(difference.data_key);
    }
  }

  std::vector<Bytes> expected;
  for (uint8_t key = 0; key < 26; ++key) {
    std::vector<uint64_t> held;
    for (Owner& owner : owners) {
      const auto item = owner.items.find(KeyOf(key));
      held.push_back(item == owner.items.end() ? 0 : item->second);
    }
    if (std::adjacent_find(held.begin(), held.end(), std::not_equal_to<>()) != held.end()) {
      expected.push_back(KeyOf(key));
    }
  }
  std::sort(expected.begin(), expected.end());
  std::sort(found.begin(), found.end());
  RC_ASSERT(found == expected);
}

}  // namespace
}  // namespace annulus
