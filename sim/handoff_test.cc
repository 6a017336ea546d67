#include <algorithm>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/hint/hint.h"
#include "gtest/gtest.h"
#include "sim/cluster.h"

namespace annulus::sim {
namespace {

// Stories of writes that reach fallbacks, and of how they come home.
class HandoffTest : public testing::TestWithParam<uint64_t> {
 protected:
  void Form(ClusterOptions options) {
    world_ = std::make_unique<World>(GetParam());
    cluster_ = std::make_unique<Cluster>(world_.get(), options);
    ASSERT_TRUE(cluster_->WaitReady());
    world_->RunFor(2s);  // Everybody knows who answers.
    owners_ = cluster_->OwnersOf(Client::ItemOf("k"));
    for (int i = 1; i <= cluster_->nodes(); ++i) {
      if (std::find(owners_.begin(), owners_.end(), i) == owners_.end()) strangers_.push_back(i);
    }
  }
  void TearDown() override { cluster_.reset(); }

  void CrashAll(const std::vector<int>& nodes) {
    for (int node : nodes) cluster_->Node(node).Crash();
    world_->RunFor(1s);
  }
  void RestartAll(const std::vector<int>& nodes) {
    for (int node : nodes) cluster_->Node(node).Restart();
    ASSERT_TRUE(world_->RunUntil(
        [&] {
          return std::all_of(nodes.begin(), nodes.end(),
                             [&](int node) { return cluster_->Node(node).ready(); });
        },
        30s));
  }
  HintLedger::Account HintsAt(int node) { return cluster_->Node(node).node()->Status().hints; }
  uint64_t HintsEverywhere() {
    uint64_t entries = 0;
    for (int i = 1; i <= cluster_->nodes(); ++i) {
      if (cluster_->Node(i).node() != nullptr) entries += HintsAt(i).entries;
    }
    return entries;
  }
  // What one owner alone holds of "k".
  std::string HeldBy(int owner) {
    Client client(cluster_.get(), owner);
    return client.With(Consistency::kOne).Strict().Values("k");
  }

  std::unique_ptr<World> world_;
  std::unique_ptr<Cluster> cluster_;
  std::vector<int> owners_;
  std::vector<int> strangers_;
};

INSTANTIATE_TEST_SUITE_P(Seeds, HandoffTest, testing::Range<uint64_t>(1, 9));

TEST_P(HandoffTest, AFallbackTakesThePlaceOfAnOwnerThatIsDownAndBringsItWhatItMissed) {
  Form({.nodes = 5});
  CrashAll({owners_[1]});
  Client client(cluster_.get(), owners_[0]);
  absl::StatusOr<WriteAnswer> put = client.With(Consistency::kAll).Put("k", "v");
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_EQ(put->acks, (Acks{.primaries = 2, .fallbacks = 1, .required = 3}));
  EXPECT_EQ(HintsEverywhere(), 1u);

  RestartAll({owners_[1]});
  ASSERT_TRUE(world_->RunUntil([&] { return HintsEverywhere() == 0; }, 10s));
  CrashAll({owners_[0], owners_[2]});
  EXPECT_EQ(HeldBy(owners_[1]), "v");
}

TEST_P(HandoffTest, WithAllOwnersDownFallbacksTakeTheWriteAndShowIt) {
  Form({.nodes = 6});
  CrashAll(owners_);
  Client client(cluster_.get(), strangers_[0]);
  absl::StatusOr<WriteAnswer> put = client.Put("k", "v");
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_EQ(put->acks, (Acks{.fallbacks = 2, .required = 2}));
  EXPECT_EQ(client.Ask(strangers_[1]).Values("k"), "v");
  // Owners alone can not be asked.
  EXPECT_EQ(client.Strict().WithTimeout(4s).Values("k"), "QUORUM_NOT_REACHED");

  RestartAll(owners_);
  ASSERT_TRUE(world_->RunUntil([&] { return HintsEverywhere() == 0; }, 10s));
  EXPECT_EQ(client.Values("k"), "v");
}

TEST_P(HandoffTest, ASecondWriteAtTheFallbackContinuesTheFirst) {
  Form({.nodes = 5});
  CrashAll(owners_);
  Client client(cluster_.get(), strangers_[0]);
  absl::StatusOr<WriteAnswer> first = client.Put("k", "a");
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(client.Put("k", "b", first->context).ok());
  RestartAll(owners_);
  ASSERT_TRUE(world_->RunUntil([&] { return HintsEverywhere() == 0; }, 10s));
  EXPECT_EQ(client.Strict().Values("k"), "b");
}

TEST_P(HandoffTest, HintsSurviveTheirHoldersRestart) {
  Form({.nodes = 6});
  CrashAll(owners_);
  Client client(cluster_.get(), strangers_[0]);
  ASSERT_TRUE(client.Put("k", "v").ok());
  CrashAll(strangers_);
  // They serve nothing before an owner tells them its epochs, but they keep what they have.
  for (int node : strangers_) cluster_->Node(node).Restart();
  world_->RunFor(2s);
  EXPECT_GE(HintsEverywhere(), 2u);
  RestartAll(owners_);
  ASSERT_TRUE(world_->RunUntil([&] { return HintsEverywhere() == 0; }, 10s));
  EXPECT_EQ(client.Strict().Values("k"), "v");
}

TEST_P(HandoffTest, WhatAClientHasSeenIsFoundInAHintAfterTheOwnersAreBack) {
  Form({.nodes = 6});
  CrashAll(owners_);
  Client client(cluster_.get(), strangers_[0]);
  absl::StatusOr<WriteAnswer> put = client.Put("k", "v");
  ASSERT_TRUE(put.ok()) << put.status();
  RestartAll(owners_);  // The hints are, or are not, still where they were.
  absl::StatusOr<GetAnswer> got = client.Ask(owners_[0]).GetAtLeast("k", put->context);
  ASSERT_TRUE(got.ok()) << got.status();
  ASSERT_EQ(got->siblings.size(), 1u);
  EXPECT_EQ(got->siblings[0].value, "v");
}

TEST_P(HandoffTest, WithoutFallbacksAnOwnerKeepsAPointerForTheOneThatMissedAWrite) {
  Form({.nodes = 3});
  CrashAll({owners_[2]});
  Client client(cluster_.get(), owners_[0]);
  ASSERT_TRUE(client.Put("k", "a").ok());
  ASSERT_TRUE(client.Put("k", "b").ok());
  world_->RunFor(5s);
  EXPECT_EQ(HintsAt(owners_[0]).entries, 1u);
  EXPECT_LT(HintsAt(owners_[0]).bytes, 100u);
  RestartAll({owners_[2]});
  ASSERT_TRUE(world_->RunUntil([&] { return HintsEverywhere() == 0; }, 10s));
  CrashAll({owners_[0], owners_[1]});
  EXPECT_EQ(HeldBy(owners_[2]), "a b");
}

TEST_P(HandoffTest, OverItsLimitAFallbackRefusesAndTheWriteLooksFurther) {
  Form({.nodes = 5, .hint_bytes_max = 1500});
  CrashAll({owners_[1], owners_[2]});
  Client client(cluster_.get(), owners_[0]);
  // The first fallback takes this one for one owner, and has no room for the next.
  ASSERT_TRUE(client.Put("k", std::string(900, 'a')).ok());
  absl::StatusOr<WriteAnswer> second = client.Put("k", std::string(900, 'b'));
  EXPECT_FALSE(second.ok());
  EXPECT_EQ(DetailsOf(second.status()).outcome, Outcome::kUnknown);
  uint64_t refused = 0;
  for (int node : strangers_) {
    refused += cluster_->Node(node).node()->Status().counters.hints_refused;
    EXPECT_LE(HintsAt(node).bytes, 1500u);
    EXPECT_GE(HintsAt(node).entries, 1u);  // What was counted is still there.
  }
  EXPECT_GE(refused, 1u);
}

TEST_P(HandoffTest, AStrictReadRepairsTheOwnersThatItShows) {
  Form({.nodes = 3});
  CrashAll({owners_[1], owners_[2]});
  Client client(cluster_.get(), owners_[0]);
  ASSERT_FALSE(client.WithTimeout(3s).Put("k", "v").ok());  // One owner has it.
  RestartAll({owners_[1]});
  world_->RunFor(200ms);
  // Whoever sees it has made it durable at a quorum: it is seen without the first owner, too.
  EXPECT_EQ(client.Strict().Values("k"), "v");
  cluster_->Node(owners_[0]).Crash();
  RestartAll({owners_[2]});
  EXPECT_EQ(client.Ask(owners_[1]).Values("k"), "v");
}

}  // namespace
}  // namespace annulus::sim
