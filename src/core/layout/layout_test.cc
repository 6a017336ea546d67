#include "core/layout/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/checksum.h"

namespace annulus {
namespace {

using testing::HasSubstr;

Member MemberOf(uint32_t i, std::string zone = "") {
  const std::string name = absl::StrFormat("node-%03d", i);
  return Member{NodeId(1000 + i), name, name + ":50052", name + ":50051", zone};
}

// Spread over so many zones in turn; 0: each its own.
std::vector<Member> MembersOf(uint32_t count, uint32_t zones = 0) {
  std::vector<Member> members;
  for (uint32_t i = 0; i < count; ++i) {
    members.push_back(MemberOf(i, zones == 0 ? "" : absl::StrFormat("zone-%d", i % zones)));
  }
  return members;
}

Layout Formed(std::vector<Member> members, uint32_t partitions = 256, uint32_t replicas = 3,
              const Layout* previous = nullptr) {
  const uint64_t version = previous == nullptr ? 1 : previous->version().value() + 1;
  auto layout = Layout::Form("test", LayoutVersion(version), std::move(members), partitions,
                             replicas, previous);
  EXPECT_TRUE(layout.ok()) << layout.status();
  return *std::move(layout);
}

struct Spread {
  uint32_t least = ~0u;
  uint32_t most = 0;
};

// How many partitions a node has, at one place of the preference lists or (-1) at all of them.
Spread SpreadOf(const Layout& layout, int place = -1) {
  std::map<NodeId, uint32_t> loads;
  for (const Member& member : layout.members()) loads[member.id] = 0;
  for (uint32_t p = 0; p < layout.partitions(); ++p) {
    const auto& owners = layout.Owners(PartitionId(p));
    for (size_t i = 0; i < owners.size(); ++i) {
      if (place < 0 || i == static_cast<size_t>(place)) ++loads[owners[i]];
    }
  }
  Spread spread;
  for (const auto& [node, load] : loads) {
    spread.least = std::min(spread.least, load);
    spread.most = std::max(spread.most, load);
  }
  return spread;
}

uint32_t LoadOf(const Layout& layout, NodeId node) {
  uint32_t load = 0;
  for (uint32_t p = 0; p < layout.partitions(); ++p) load += layout.Owns(node, PartitionId(p));
  return load;
}

// Owners that a partition did not have before.
uint32_t MovesBetween(const Layout& before, const Layout& after) {
  uint32_t moves = 0;
  for (uint32_t p = 0; p < after.partitions(); ++p) {
    for (NodeId owner : after.Owners(PartitionId(p))) moves += !before.Owns(owner, PartitionId(p));
  }
  return moves;
}

size_t ZonesOf(const Layout& layout, PartitionId partition) {
  std::set<std::string> zones;
  for (NodeId owner : layout.Owners(partition)) {
    const Member* member = layout.FindMember(owner);
    zones.insert(member->zone.empty() ? member->name : member->zone);
  }
  return zones.size();
}

TEST(Layout, IsEvenAndOnDistinctNodesForAnySmallCluster) {
  for (uint32_t nodes = 1; nodes <= 12; ++nodes) {
    for (uint32_t replicas = 1; replicas <= 4; ++replicas) {
      const Layout layout = Formed(MembersOf(nodes), 64, replicas);
      EXPECT_EQ(layout.replicas(), replicas);
      for (uint32_t p = 0; p < 64; ++p) {
        const auto& owners = layout.Owners(PartitionId(p));
        EXPECT_EQ(owners.size(), std::min(nodes, replicas));
        EXPECT_EQ(std::set(owners.begin(), owners.end()).size(), owners.size());
      }
      const Spread all = SpreadOf(layout);
      EXPECT_LE(all.most - all.least, 1u) << nodes << " nodes, " << replicas << " replicas";
      const Spread first = SpreadOf(layout, 0);
      EXPECT_LE(first.most - first.least, 1u) << nodes << " nodes, " << replicas << " replicas";
    }
  }
}

TEST(Layout, OwnersAreInDistinctZonesAsFarAsThereAreZones) {
  for (uint32_t zones = 1; zones <= 6; ++zones) {
    for (uint32_t nodes = zones; nodes <= 12; ++nodes) {
      const Layout layout = Formed(MembersOf(nodes, zones), 64);
      for (uint32_t p = 0; p < 64; ++p) {
        EXPECT_EQ(ZonesOf(layout, PartitionId(p)), std::min({zones, nodes, 3u}));
      }
      // In turn, so no zone is too small for its share but where three zones must all be used.
      if (nodes % zones == 0) {
        const Spread spread = SpreadOf(layout);
        EXPECT_LE(spread.most - spread.least, 1u) << nodes << " nodes, " << zones << " zones";
      }
    }
  }
}

TEST(Layout, ZonesRepeatAsEvenlyAsTheirSizesAllow) {
  // Three zones of one, two and six nodes, and five owners: 1 + 2 + 2.
  std::vector<Member> members = {MemberOf(0, "small"), MemberOf(1, "middle"),
                                 MemberOf(2, "middle")};
  for (uint32_t i = 3; i < 9; ++i) members.push_back(MemberOf(i, "large"));
  const Layout layout = Formed(members, 64, 5);
  for (uint32_t p = 0; p < 64; ++p) {
    std::map<std::string, int> zones;
    for (NodeId owner : layout.Owners(PartitionId(p))) ++zones[layout.FindMember(owner)->zone];
    EXPECT_EQ(zones, (std::map<std::string, int>{{"large", 2}, {"middle", 2}, {"small", 1}}));
  }
  // Four owners in three large zones: never two and two.
  const Layout four = Formed(MembersOf(9, 3), 64, 4);
  for (uint32_t p = 0; p < 64; ++p) EXPECT_EQ(ZonesOf(four, PartitionId(p)), 3u);
  EXPECT_LE(SpreadOf(four).most - SpreadOf(four).least, 1u);
}

TEST(Layout, AddingANodeMovesOnlyWhatItReceives) {
  for (uint32_t nodes = 1; nodes <= 12; ++nodes) {
    for (uint32_t partitions : {64u, 256u}) {
      const Layout before = Formed(MembersOf(nodes), partitions);
      const Layout after = Formed(MembersOf(nodes + 1), partitions, 3, &before);
      const NodeId added = MemberOf(nodes).id;
      // All that is owned, over the nodes; never more than each partition once.
      const uint32_t share = partitions * std::min(3u, nodes + 1) / (nodes + 1);
      EXPECT_EQ(LoadOf(after, added), share);
      EXPECT_EQ(MovesBetween(before, after), share);
      const Spread spread = SpreadOf(after);
      EXPECT_LE(spread.most - spread.least, 1u);
    }
  }
}

TEST(Layout, RemovingANodeMovesOnlyWhatItHad) {
  for (uint32_t nodes = 4; nodes <= 12; ++nodes) {
    const Layout before = Formed(MembersOf(nodes));
    for (uint32_t gone : {0u, nodes / 2}) {
      std::vector<Member> members = MembersOf(nodes);
      const NodeId id = members[gone].id;
      members.erase(members.begin() + gone);
      const Layout after = Formed(members, 256, 3, &before);
      EXPECT_EQ(MovesBetween(before, after), LoadOf(before, id));
      EXPECT_EQ(after.FindMember(id), nullptr);
    }
  }
}

TEST(Layout, NothingMovesWithoutAReason) {
  for (uint32_t nodes : {1u, 3u, 5u, 8u}) {
    const Layout before = Formed(MembersOf(nodes));
    const Layout after = Formed(MembersOf(nodes), 256, 3, &before);
    for (uint32_t p = 0; p < 256; ++p) {
      EXPECT_EQ(after.Owners(PartitionId(p)), before.Owners(PartitionId(p)));
    }
  }
}

TEST(Layout, ALaterReplicationFactorKeepsTheOwners) {
  const Layout two = Formed(MembersOf(6), 256, 2);
  const Layout three = Formed(MembersOf(6), 256, 3, &two);
  EXPECT_EQ(MovesBetween(two, three), 256u);
  const Layout again = Formed(MembersOf(6), 256, 2, &three);
  EXPECT_EQ(MovesBetween(three, again), 0u);
}

RC_GTEST_PROP(Layout, AnyClusterIsAsGoodAsItsZonesAllow, ()) {
  const uint32_t nodes = *rc::gen::inRange(1, 13);
  const uint32_t zones = *rc::gen::inRange(0, 6);
  const uint32_t replicas = *rc::gen::inRange(1, 8);
  const uint32_t partitions = 1u << *rc::gen::inRange(0, 7);
  std::vector<Member> members;
  std::set<std::string> names;
  for (uint32_t i = 0; i < nodes; ++i) {
    const uint32_t zone = *rc::gen::inRange<uint32_t>(0, zones + 1);
    members.push_back(MemberOf(i, zone == 0 ? "" : absl::StrFormat("zone-%d", zone)));
    names.insert(zone == 0 ? members.back().name : members.back().zone);
  }
  const Layout layout = Formed(members, partitions, replicas);
  const size_t owners = std::min(nodes, replicas);
  for (uint32_t p = 0; p < partitions; ++p) {
    RC_ASSERT(layout.Owners(PartitionId(p)).size() == owners);
    RC_ASSERT(ZonesOf(layout, PartitionId(p)) == std::min(owners, names.size()));
  }
  if (names.size() == nodes) {
    const Spread spread = SpreadOf(layout);
    RC_ASSERT(spread.most - spread.least <= 1);
  }
  // Whoever is added, nothing moves to anyone else, so long as zones do not ask for it.
  members.push_back(MemberOf(nodes));
  const Layout grown = Formed(members, partitions, replicas, &layout);
  if (names.size() == nodes) {
    RC_ASSERT(MovesBetween(layout, grown) == LoadOf(grown, MemberOf(nodes).id));
  }
  RC_ASSERT(*Layout::Decode(grown.Encode()) == grown);
}

TEST(Layout, IsTheSameForTheSameArguments) {
  std::vector<Member> members = MembersOf(7, 3);
  const Layout layout = Formed(members);
  std::reverse(members.begin(),
               members.end());  // The order in which they were named is no argument.
  EXPECT_EQ(Formed(members), layout);
  EXPECT_EQ(Formed(MembersOf(8, 3), 256, 3, &layout), Formed(MembersOf(8, 3), 256, 3, &layout));
}

TEST(Layout, TheFailureOfANodeIsSharedByAllOthers) {
  const Layout layout = Formed(MembersOf(12));
  for (const Member& member : layout.members()) {
    std::set<NodeId> partners;
    for (uint32_t p = 0; p < 256; ++p) {
      if (!layout.Owns(member.id, PartitionId(p))) continue;
      for (NodeId owner : layout.Owners(PartitionId(p))) partners.insert(owner);
    }
    EXPECT_EQ(partners.size(), 12u);
  }
}

TEST(Layout, FallbacksAreTheOtherNodesTheNextOnesOnTheRingFirst) {
  const Layout layout = Formed(MembersOf(9));
  for (uint32_t p = 0; p < 256; ++p) {
    const std::vector<NodeId> list = layout.Fallbacks(PartitionId(p));
    EXPECT_EQ(list.size(), 6u);
    EXPECT_EQ(std::set(list.begin(), list.end()).size(), 6u);
    for (NodeId node : list) EXPECT_FALSE(layout.Owns(node, PartitionId(p)));
    std::vector<NodeId> next;
    for (NodeId node : layout.Owners(PartitionId((p + 1) % 256))) {
      if (!layout.Owns(node, PartitionId(p))) next.push_back(node);
    }
    EXPECT_TRUE(std::equal(next.begin(), next.end(), list.begin()));
    EXPECT_EQ(layout.Fallbacks(PartitionId(p), 2), std::vector(list.begin(), list.begin() + 2));
  }
}

TEST(Layout, FallbacksIncludeMembersWithoutAPartition) {
  EXPECT_EQ(Formed(MembersOf(5), 1, 3).Fallbacks(PartitionId(0)).size(), 2u);
  EXPECT_TRUE(Formed(MembersOf(3)).Fallbacks(PartitionId(0)).empty());
}

TEST(Layout, FindsMembersByIdAndName) {
  const Layout layout = Formed(MembersOf(3));
  EXPECT_EQ(layout.FindMember(NodeId(1001))->name, "node-001");
  EXPECT_EQ(layout.FindMember("node-002")->id, NodeId(1002));
  EXPECT_EQ(layout.FindMember(NodeId(7)), nullptr);
  EXPECT_EQ(layout.FindMember("node-7"), nullptr);
}

TEST(Layout, RefusesWhatIsNoCluster) {
  auto refused = [](std::vector<Member> members, uint32_t partitions, uint32_t replicas) {
    auto layout =
        Layout::Form("c", LayoutVersion(1), std::move(members), partitions, replicas, nullptr);
    EXPECT_EQ(layout.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(layout.status().message());
  };
  EXPECT_THAT(refused({}, 256, 3), HasSubstr("at least one member"));
  EXPECT_THAT(refused(MembersOf(1025), 256, 3), HasSubstr("1024"));
  EXPECT_THAT(refused({MemberOf(1), MemberOf(1)}, 256, 3), HasSubstr("node-001"));
  Member twin = MemberOf(2);
  twin.id = MemberOf(1).id;
  EXPECT_THAT(refused({MemberOf(1), twin}, 256, 3), HasSubstr("node id"));
  Member nobody = MemberOf(2);
  nobody.id = NodeId(0);
  EXPECT_THAT(refused({nobody}, 256, 3), HasSubstr("no node id"));
  nobody = MemberOf(2);
  nobody.name = "";
  EXPECT_THAT(refused({nobody}, 256, 3), HasSubstr("no name"));
  for (uint32_t partitions : {0u, 3u, 131072u}) {
    EXPECT_THAT(refused(MembersOf(3), partitions, 3), HasSubstr("power of two"));
  }
  for (uint32_t replicas : {0u, 8u}) {
    EXPECT_THAT(refused(MembersOf(3), 256, replicas), HasSubstr("replicas"));
  }
  const Layout layout = Formed(MembersOf(3), 64);
  EXPECT_THAT(
      std::string(
          Layout::Form("c", LayoutVersion(2), MembersOf(3), 256, 3, &layout).status().message()),
      HasSubstr("fixed"));
}

TEST(Layout, EveryCutAndEveryFlippedByteIsDataLoss) {
  const Bytes bytes = Formed(MembersOf(3), 4).Encode();
  ASSERT_TRUE(Layout::Decode(bytes).ok());
  for (size_t i = 0; i < bytes.size(); ++i) {
    EXPECT_EQ(Layout::Decode(bytes.substr(0, i)).status().code(), absl::StatusCode::kDataLoss);
    Bytes altered = bytes;
    altered[i] ^= 0x10;
    EXPECT_EQ(Layout::Decode(altered).status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST(Layout, BehindTheChecksumOnlyALayoutDecodes) {
  const Bytes bytes = Formed(MembersOf(3), 4).Encode();
  for (size_t i = 0; i + 8 < bytes.size(); ++i) {
    for (int value = 0; value < 256; ++value) {
      Bytes altered = bytes.substr(0, bytes.size() - 8);
      altered[i] = static_cast<char>(value);
      AppendChecksum(&altered);
      const auto layout = Layout::Decode(altered);
      if (layout.ok()) {
        EXPECT_EQ(layout->Encode(), altered);
      } else {
        EXPECT_EQ(layout.status().code(), absl::StatusCode::kDataLoss);
      }
    }
  }
}

TEST(Layout, ALargeClusterIsFormedAtOnce) {
  const Layout before = Formed(MembersOf(64, 4));
  const Layout after = Formed(MembersOf(65, 4), 256, 3, &before);
  EXPECT_EQ(MovesBetween(before, after), 256u * 3 / 65);
  EXPECT_LE(SpreadOf(after).most - SpreadOf(after).least, 1u);
}

}  // namespace
}  // namespace annulus
