#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "sim/cluster.h"

namespace annulus::sim {
namespace {

// Stories of disks that are not what they were, and of processes that say they are somebody else.
class SelfCheckTest : public testing::TestWithParam<uint64_t> {
 protected:
  void Form(ClusterOptions options) {
    world_ = std::make_unique<World>(GetParam());
    cluster_ = std::make_unique<Cluster>(world_.get(), options);
    ASSERT_TRUE(cluster_->WaitReady());
    world_->RunFor(2s);  // Everybody has heard of everybody.
  }
  void TearDown() override { cluster_.reset(); }

  void PutSome(int process, int count) {
    Client client(cluster_.get(), process);
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(client.Put(absl::StrCat("key-", i), "v").ok());
    }
  }
  bool Ready(SimProcess& process, Duration limit = 10s) {
    return world_->RunUntil([&] { return process.ready(); }, limit);
  }
  // What it says to operators; "" where it has nothing to say.
  static std::string Notices(SimProcess& process) {
    std::string all;
    for (const std::string& notice : process.node()->Status().notices) {
      absl::StrAppend(&all, notice, "\n");
    }
    return all;
  }
  // All partitions, in its last lives together. Of three nodes each owns all.
  bool Rebuilt(SimProcess& process, size_t lives = 1) {
    return world_->RunUntil(
        [&] {
          const std::vector<StatusView> all = process.Lives();
          uint64_t rebuilt = 0;
          for (size_t i = all.size() - lives; i < all.size(); ++i) {
            rebuilt += all[i].counters.partitions_rebuilt;
          }
          return all.back().reap.rebuilding == 0 && rebuilt >= cluster_->options().partitions;
        },
        60s);
  }
  static bool Has(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
  }
  static std::string WhyNot(SimProcess& process) {
    return process.node() == nullptr ? "" : process.node()->Status().not_ready_reason;
  }

  std::unique_ptr<World> world_;
  std::unique_ptr<Cluster> cluster_;
};

INSTANTIATE_TEST_SUITE_P(Seeds, SelfCheckTest, testing::Range<uint64_t>(1, 9));

TEST_P(SelfCheckTest, ANodeThatRestartsOnItsOwnDiskServesAtOnceAndRebuildsNothing) {
  Form({.nodes = 3});
  for (int life = 0; life < 5; ++life) {
    PutSome(1, 20);
    cluster_->Node(2).Crash(life % 2 == 0 ? CrashKind::kProcess : CrashKind::kMachine);
    PutSome(1, 5);
    cluster_->Node(2).Restart();
    EXPECT_TRUE(Ready(cluster_->Node(2), 1s)) << WhyNot(cluster_->Node(2));
    EXPECT_EQ(Notices(cluster_->Node(2)), "");
  }
}

TEST_P(SelfCheckTest, LostUnsyncedWritesAreNoFalseAlarm) {
  for (const bool sync : {true, false}) {
    Form({.nodes = 3, .sync = sync});
    Client client(cluster_.get(), 1);
    for (int life = 0; life < 10; ++life) {
      for (int i = 0; i < 30; ++i) client.Ask(1 + i % 3).StartPut(absl::StrCat("k", i), "v");
      world_->RunFor(Duration(200us) * life);
      cluster_->Node(3).Crash(CrashKind::kMachine);
      world_->RunFor(100ms);
      cluster_->Node(3).Restart();
      ASSERT_TRUE(Ready(cluster_->Node(3)));
      world_->RunFor(2s);
      EXPECT_EQ(Notices(cluster_->Node(3)), "");
    }
    cluster_.reset();
  }
}

TEST_P(SelfCheckTest, AllNodesThatStartAtOnceTellEachOtherThatTheyRememberNothing) {
  Form({.nodes = 5});
  PutSome(1, 20);
  for (int i = 1; i <= 5; ++i) cluster_->Node(i).Crash(CrashKind::kMachine);
  world_->RunFor(1s);
  for (int i = 1; i <= 5; ++i) cluster_->Node(i).Restart();
  EXPECT_TRUE(cluster_->WaitReady(5s));
  for (int i = 1; i <= 5; ++i) EXPECT_EQ(Notices(cluster_->Node(i)), "");
}

TEST_P(SelfCheckTest, ANodeAloneAsksNobody) {
  Form({.nodes = 1});
  PutSome(1, 3);
  cluster_->Node(1).Crash();
  cluster_->Node(1).Restart();
  EXPECT_TRUE(Ready(cluster_->Node(1), 1s));
  EXPECT_EQ(Client(cluster_.get(), 1).Values("key-1"), "v");
}

TEST_P(SelfCheckTest, ANodeThatNobodyAnswersDoesNotServe) {
  Form({.nodes = 3});
  cluster_->Node(1).Crash();
  for (int other : {2, 3}) cluster_->net().SetLink(1, static_cast<uint16_t>(other), {.up = false});
  cluster_->Node(1).Restart();
  EXPECT_FALSE(Ready(cluster_->Node(1), 10s));
  EXPECT_TRUE(Has(WhyNot(cluster_->Node(1)), "node-2, node-3")) << WhyNot(cluster_->Node(1));
  cluster_->net().HealAll();
  EXPECT_TRUE(Ready(cluster_->Node(1)));
  EXPECT_EQ(Notices(cluster_->Node(1)), "");
}

TEST_P(SelfCheckTest, WhatOnlyOneThatDoesNotServeYetCouldDoIsUnavailable) {
  Form({.nodes = 3, .coordinators = 1});
  for (int i = 1; i <= 3; ++i) cluster_->Node(i).Crash();
  cluster_->Node(1).Restart();
  world_->RunFor(3s);
  Client client(cluster_.get(), 4);
  client.WithTimeout(8s);
  const absl::Status put = client.Put("k", "v").status();
  EXPECT_TRUE(absl::IsUnavailable(put)) << put;
  const absl::Status get = client.Get("k").status();
  EXPECT_TRUE(absl::IsUnavailable(get)) << get;
}

TEST_P(SelfCheckTest, AWipedNodeTakesItsIdAgain) {
  Form({.nodes = 3});
  PutSome(1, 20);
  for (const int wiped : {2, 1}) {  // The second forms first layouts.
    SimProcess& node = cluster_->Node(wiped);
    const NodeId id = node.node()->id();
    node.Crash();
    node.disk().Wipe();
    world_->RunFor(1s);
    node.Restart();
    EXPECT_FALSE(Ready(node, 1s)) << "it did not wait for its old life to answer";
    ASSERT_TRUE(Ready(node)) << WhyNot(node);
    EXPECT_EQ(node.node()->id(), id);
    EXPECT_TRUE(Has(Notices(node), "was empty")) << Notices(node);
    EXPECT_TRUE(Rebuilt(node));
    EXPECT_TRUE(Has(Client(cluster_.get(), wiped).With(Consistency::kOne).Values("key-7"), "v"));
    PutSome(wiped, 20);  // It takes part, under that id.
    const int other = wiped == 1 ? 3 : 1;
    for (const MemberView& member : cluster_->Node(other).node()->Status().members) {
      EXPECT_NE(member.state, "down") << member.member.name;
    }
  }
  // What it was told then is not forgotten by the next start.
  cluster_->Node(2).Crash();
  cluster_->Node(2).Restart();
  ASSERT_TRUE(Ready(cluster_->Node(2)));
  EXPECT_FALSE(Has(Notices(cluster_->Node(2)), "older")) << Notices(cluster_->Node(2));
}

TEST_P(SelfCheckTest, AWipedNodeIsRefusedWhileTheOldOneLives) {
  Form({.nodes = 3});
  PutSome(1, 20);
  // The old one, moved to where only gossip knows it, and a new one under its name.
  SimProcess& old = cluster_->Node(2);
  old.Crash();
  old.RestartElsewhere();
  ASSERT_TRUE(Ready(old));
  world_->RunFor(2s);
  SimProcess& stranger = cluster_->Stranger();
  stranger.RestartAsCopyOf(old);
  stranger.Crash();
  stranger.disk().Wipe();
  stranger.Restart();
  EXPECT_FALSE(Ready(stranger, 10s));
  EXPECT_TRUE(Has(WhyNot(stranger), "still answers at node-2-moved-1:50052")) << WhyNot(stranger);
  EXPECT_TRUE(old.ready());
  old.Crash();
  EXPECT_TRUE(Ready(stranger)) << WhyNot(stranger);
  EXPECT_TRUE(Has(Notices(stranger), "was empty"));
}

TEST_P(SelfCheckTest, ARestoredDiskIsRecognised) {
  Form({.nodes = 3});
  PutSome(1, 5);
  SimProcess& node = cluster_->Node(3);
  const std::shared_ptr<const SimDisk::Image> image = node.disk().Snapshot();
  PutSome(2, 50);
  node.Crash();
  node.disk().Restore(*image);
  node.Restart();
  ASSERT_TRUE(Ready(node));
  EXPECT_TRUE(Has(Notices(node), "older than what this node had")) << Notices(node);
  EXPECT_TRUE(Rebuilt(node));
  EXPECT_EQ(Client(cluster_.get(), 3).With(Consistency::kOne).Values("key-40"), "v");
  // Once: what it says from now on is above what they remember.
  PutSome(1, 5);
  world_->RunFor(2s);
  node.Crash();
  node.Restart();
  ASSERT_TRUE(Ready(node));
  EXPECT_EQ(Notices(node), "");
  EXPECT_EQ(node.node()->Status().counters.partitions_rebuilt, 0u);
  // And again, with the same old copy.
  node.Crash();
  node.disk().Restore(*image);
  node.Restart();
  ASSERT_TRUE(Ready(node));
  EXPECT_TRUE(Has(Notices(node), "older"));
  // Which is not forgotten where the process dies before it is whole again.
  node.Crash();
  node.Restart();
  ASSERT_TRUE(Ready(node));
  EXPECT_TRUE(Rebuilt(node, 2));
}

TEST_P(SelfCheckTest, ARestoredDiskIsRecognisedByTheOneMemberThatRemembersMore) {
  Form({.nodes = 3});
  SimProcess& node = cluster_->Node(3);
  const std::shared_ptr<const SimDisk::Image> image = node.disk().Snapshot();
  // More commits than it takes to bring the records back.
  for (int times = 0; times < 6; ++times) PutSome(1, 50);
  // Node 2 forgets, and node 1 cannot be asked at first.
  node.Crash();
  cluster_->net().SetLink(1, 2, {.up = false});
  cluster_->net().SetLink(1, 3, {.up = false});
  cluster_->Node(2).Crash();
  node.disk().Restore(*image);
  world_->RunFor(1s);
  cluster_->Node(2).Restart();
  node.Restart();
  ASSERT_TRUE(Ready(node));
  EXPECT_EQ(Notices(node), "");
  cluster_->net().HealAll();
  EXPECT_TRUE(world_->RunUntil([&] { return Has(Notices(node), "older"); }, 10s));
  EXPECT_TRUE(Rebuilt(node));
}

TEST_P(SelfCheckTest, ACopyIsRefusedWhileTheOriginalLives) {
  Form({.nodes = 3});
  PutSome(1, 20);
  SimProcess& original = cluster_->Node(2);
  SimProcess& copy = cluster_->Stranger();
  copy.RestartAsCopyOf(original);
  EXPECT_FALSE(Ready(copy, 10s));
  EXPECT_TRUE(Has(WhyNot(copy), "another live process (node-2:50052")) << WhyNot(copy);
  // A restart is no way in.
  copy.Crash();
  copy.Restart();
  EXPECT_FALSE(Ready(copy, 10s));
  EXPECT_TRUE(original.ready());
  PutSome(1, 20);
  // Nobody has been told of it.
  for (const MemberView& member : cluster_->Node(1).node()->Status().members) {
    EXPECT_FALSE(Has(member.member.peer_address, "copy")) << member.member.peer_address;
    EXPECT_NE(member.state, "down");
  }
  // Nor does it take the place of one that merely restarts.
  original.Crash();
  world_->RunFor(500ms);
  original.Restart();
  ASSERT_TRUE(Ready(original));
  EXPECT_FALSE(Ready(copy, 10s));

  PutSome(1, 20);
  original.Crash();
  EXPECT_TRUE(Ready(copy, 30s)) << WhyNot(copy);
  EXPECT_TRUE(Has(Notices(copy), "older")) << Notices(copy);
}

TEST_P(SelfCheckTest, OfTwoThatServeTheLaterOneStops) {
  Form({.nodes = 3});
  PutSome(1, 20);
  // Cut off from each other, neither can be seen by the other; node 3 hears both.
  SimProcess& original = cluster_->Node(2);
  SimProcess& copy = cluster_->Stranger();
  const auto stranger = static_cast<uint16_t>(copy.index());
  cluster_->net().SetLink(2, stranger, {.up = false});
  cluster_->net().SetLink(1, stranger, {.up = false});
  copy.RestartAsCopyOf(original);
  ASSERT_TRUE(Ready(copy)) << WhyNot(copy);
  cluster_->net().HealAll();
  EXPECT_TRUE(world_->RunUntil([&] { return !copy.ready(); }, 60s));
  EXPECT_TRUE(Has(WhyNot(copy), "another live process")) << WhyNot(copy);
  EXPECT_TRUE(original.ready());
  EXPECT_EQ(Client(cluster_.get(), copy.index()).Values("key-1"), "NOT_READY");
  world_->RunFor(5s);
  PutSome(1, 20);
  EXPECT_TRUE(original.ready());
}

}  // namespace
}  // namespace annulus::sim
