#include "sim/cluster.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "gtest/gtest.h"

namespace annulus::sim {
namespace {

// Stories: what the cluster does when something happens to it.
class ClusterTest : public testing::TestWithParam<uint64_t> {
 protected:
  void Form(ClusterOptions options) {
    world_ = std::make_unique<World>(GetParam());
    cluster_ = std::make_unique<Cluster>(world_.get(), options);
    ASSERT_TRUE(cluster_->WaitReady());
  }
  void TearDown() override { cluster_.reset(); }

  // The owners of "k", as they are asked.
  std::vector<int> Owners() { return cluster_->OwnersOf(Client::ItemOf("k")); }
  int Stranger() {
    const std::vector<int> owners = Owners();
    for (int i = 1; i <= cluster_->nodes(); ++i) {
      if (std::find(owners.begin(), owners.end(), i) == owners.end()) return i;
    }
    return 0;
  }
  void CutOff(int process, bool up) {
    for (int other = 1; other <= cluster_->processes(); ++other) {
      if (other == process) continue;
      cluster_->net().SetLink(static_cast<uint16_t>(process), static_cast<uint16_t>(other),
                              {.up = up});
    }
  }

  // How one process sees a node: "up", "silent", "suspect", "down".
  std::string StateAt(int process, int node) {
    for (const MemberView& member : cluster_->Process(process).node()->Status().members) {
      if (member.member.name == cluster_->Node(node).name()) return member.state;
    }
    return "?";
  }
  bool SeenAsUp(int node) {
    for (int process = 1; process <= cluster_->processes(); ++process) {
      if (process != node && StateAt(process, node) != "up") return false;
    }
    return true;
  }

  std::unique_ptr<World> world_;
  std::unique_ptr<Cluster> cluster_;
};

INSTANTIATE_TEST_SUITE_P(Seeds, ClusterTest, testing::Range<uint64_t>(1, 9));

TEST_P(ClusterTest, ACoordinatorServesWhatTheNodesHold) {
  Form({.nodes = 5, .coordinators = 1});
  Client client(cluster_.get(), 6);
  const absl::StatusOr<WriteAnswer> put = client.Put("k", "v");
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_GE(put->acks.primaries + put->acks.fallbacks, 2u);
  for (int process = 1; process <= 6; ++process) {
    EXPECT_EQ(client.Ask(process).Values("k"), "v");
  }
}

TEST_P(ClusterTest, WhatOneOwnerRefusesForGoodDoesNotWaitForTheAnswerOfAnother) {
  Form({.nodes = 4, .siblings_max = 1});
  Client client(cluster_.get(), Stranger());
  client.WithTimeout(10s);
  ASSERT_TRUE(client.Put("k", "first").ok());
  // The first one that is asked is heard no more, and may have taken the write.
  cluster_->net().SetPath(static_cast<uint16_t>(Owners()[0]), static_cast<uint16_t>(Stranger()),
                          {.loss = 1});
  const Instant asked = world_->now();
  const absl::StatusOr<WriteAnswer> second = client.Put("k", "second");
  EXPECT_EQ(DetailsOf(second.status()).reason, "TOO_MANY_SIBLINGS") << second.status();
  EXPECT_EQ(DetailsOf(second.status()).outcome, Outcome::kUnknown);
  EXPECT_LT(world_->now() - asked, 3s);
}

TEST_P(ClusterTest, TheSameClientWritingBlindTwiceKeepsBoth) {
  Form({.nodes = 3});
  Client client(cluster_.get(), 1);
  ASSERT_TRUE(client.Put("k", "first").ok());
  const absl::StatusOr<WriteAnswer> second = client.Put("k", "second");
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(client.Values("k"), "first second");
  // Its own context, from the second, never drops the first, which it has not read.
  ASSERT_TRUE(client.Put("k", "third", second->context).ok());
  EXPECT_EQ(client.Values("k"), "first third");
}

TEST_P(ClusterTest, TwoInterleavedWritersKeepTwoSiblings) {
  Form({.nodes = 3});
  Client client(cluster_.get(), 1);
  Bytes contexts[2];
  for (int i = 0; i < 100; ++i) {
    for (int writer = 0; writer < 2; ++writer) {
      const absl::StatusOr<WriteAnswer> put =
          client.Ask(1 + (i + writer) % 3).Put("k", writer == 0 ? "a" : "b", contexts[writer]);
      ASSERT_TRUE(put.ok()) << put.status();
      contexts[writer] = put->context;
    }
  }
  EXPECT_EQ(client.With(Consistency::kAll).Values("k"), "a b");
}

TEST_P(ClusterTest, ASilentOwnerIsPassedOver) {
  Form({.nodes = 5, .coordinators = 1});
  Client client(cluster_.get(), 6);
  cluster_->Node(Owners()[0]).Pause();
  const Instant started = world_->now();
  const absl::StatusOr<WriteAnswer> put = client.Put("k", "v");
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_LT(world_->now() - started, 500ms);
  EXPECT_EQ(client.Values("k"), "v");
  EXPECT_LT(world_->now() - started, 1s);
}

TEST_P(ClusterTest, AnOwnerThatAnswersLateIsAskedLast) {
  Form({.nodes = 5, .coordinators = 1});
  const auto late = static_cast<uint16_t>(Owners()[0]);
  for (uint16_t other = 1; other <= 6; ++other) {
    if (other != late) cluster_->net().SetLink(late, other, {.delay = 500ms});
  }
  world_->RunFor(15s);
  Client client(cluster_.get(), 6);
  for (int i = 0; i < 20; ++i) {
    const Instant started = world_->now();
    ASSERT_TRUE(client.Put("k", absl::StrCat("v", i)).ok());
    ASSERT_TRUE(client.Get("k").ok());
    EXPECT_LT(world_->now() - started, 100ms);
    world_->RunFor(200ms);
  }
}

TEST_P(ClusterTest, AForwardThatArrivesTwiceIsMintedOnce) {
  Form({.nodes = 5, .coordinators = 1});
  for (uint16_t node = 1; node <= 5; ++node) cluster_->net().SetPath(6, node, {.duplicate = 1});
  Client client(cluster_.get(), 6);
  const absl::StatusOr<WriteAnswer> put = client.Put("k", "v");
  ASSERT_TRUE(put.ok()) << put.status();
  world_->RunFor(1s);
  // What the put's context covers is then all there is.
  ASSERT_TRUE(client.Put("k", "w", put->context).ok());
  EXPECT_EQ(client.With(Consistency::kAll).Values("k"), "w");
}

TEST_P(ClusterTest, AReplicaThatMissedASiblingDoesNotLoseItToTheNextWrite) {
  Form({.nodes = 3});
  Client client(cluster_.get(), 1);
  CutOff(3, false);
  ASSERT_TRUE(client.Put("k", "missed by 3").ok());
  CutOff(3, true);
  CutOff(1, false);
  world_->RunFor(5s);
  // Node 3 mints without having seen it, and only node 2 can tell.
  ASSERT_TRUE(client.Ask(3).Put("k", "new").ok());
  EXPECT_EQ(client.Values("k"), "missed by 3 new");
  CutOff(1, true);
  world_->RunFor(5s);
  EXPECT_EQ(client.Ask(1).With(Consistency::kAll).Values("k"), "missed by 3 new");
}

TEST_P(ClusterTest, AMinterThatCrashedBeforeItsSyncNeverReusesADot) {
  Form({.nodes = 3});
  Client client(cluster_.get(), 1);
  ASSERT_TRUE(client.Put("k", "before").ok());
  // The peers have the write, while the minter's disk takes its time.
  cluster_->Node(1).disk().set_conditions({.slow_by = 500ms});
  client.StartPut("k", "sent");
  world_->RunFor(100ms);
  ASSERT_GT(cluster_->Node(1).disk().unsynced(), 0u);
  cluster_->Node(1).Crash();
  cluster_->Node(1).disk().set_conditions({});
  cluster_->Node(1).Restart();
  ASSERT_TRUE(cluster_->WaitReady());
  world_->RunFor(2s);
  ASSERT_TRUE(client.With(Consistency::kOne).Put("k", "after").ok());
  EXPECT_EQ(client.With(Consistency::kAll).Values("k"), "after before sent");
}

TEST_P(ClusterTest, AWriteWithoutItsQuorumIsUnknownAndMayBeThere) {
  Form({.nodes = 3});
  Client client(cluster_.get(), 1);
  CutOff(1, false);
  const absl::StatusOr<WriteAnswer> put = client.Put("k", "v");
  ASSERT_FALSE(put.ok());
  EXPECT_EQ(DetailsOf(put.status()).outcome, Outcome::kUnknown);
  CutOff(1, true);
  world_->RunFor(5s);
  EXPECT_EQ(client.Ask(2).With(Consistency::kAll).Values("k"), "v");
}

TEST_P(ClusterTest, AWriteToNobodyWasNotApplied) {
  Form({.nodes = 3});
  Client client(cluster_.get(), 1);
  cluster_->Node(1).Crash();
  const absl::StatusOr<WriteAnswer> put = client.Put("k", "v");
  ASSERT_FALSE(put.ok());
  EXPECT_EQ(DetailsOf(put.status()).outcome, Outcome::kNotApplied);
  EXPECT_TRUE(client.Ask(2).Put("k", "w").ok());
  EXPECT_EQ(client.Values("k"), "w");
}

TEST_P(ClusterTest, AllNodesCrashAndEveryAcknowledgedWriteIsThere) {
  Form({.nodes = 3, .sync = true});
  Client client(cluster_.get(), 1);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(client.Put("k", absl::StrCat("v", i)).ok());
  for (int node = 1; node <= 3; ++node) cluster_->Node(node).Crash();
  for (int node = 1; node <= 3; ++node) cluster_->Node(node).Restart();
  ASSERT_TRUE(cluster_->WaitReady());
  world_->RunFor(2s);
  const absl::StatusOr<GetAnswer> answer = client.Get("k");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->siblings.size(), 20u);
}

TEST_P(ClusterTest, WithSyncOffAnAcknowledgedWriteCanBeGone) {
  Form({.nodes = 3, .sync = false});
  Client client(cluster_.get(), 1);
  world_->RunFor(5s);
  const absl::StatusOr<WriteAnswer> put = client.Put("k", "v");
  ASSERT_TRUE(put.ok());
  EXPECT_FALSE(put->durable);  // And the answer says so.
  for (int node = 1; node <= 3; ++node) cluster_->Node(node).Crash();
  for (int node = 1; node <= 3; ++node) cluster_->Node(node).Restart();
  ASSERT_TRUE(cluster_->WaitReady());
  world_->RunFor(2s);
  EXPECT_EQ(client.Values("k"), "");
}

TEST_P(ClusterTest, AFullDiskCostsNoQuorum) {
  Form({.nodes = 3});
  Client client(cluster_.get(), 1);
  cluster_->Node(2).disk().set_conditions({.full = true});
  EXPECT_TRUE(client.Put("k", "v").ok());
  EXPECT_TRUE(client.Ask(2).Put("k", "w").ok());  // Its own disk, its peers' quorum.
  EXPECT_EQ(client.Values("k"), "v w");
}

TEST_P(ClusterTest, ACrashedNodeIsReachedAgainWhereverItsClientsAsk) {
  Form({.nodes = 5, .coordinators = 1});
  Client client(cluster_.get(), 6);
  ASSERT_TRUE(client.Put("k", "v").ok());
  for (const int owner : Owners()) {
    cluster_->Node(owner).Crash(CrashKind::kMachine);
    world_->RunFor(1s);
    EXPECT_EQ(client.Values("k"), "v");
    cluster_->Node(owner).Restart();
    ASSERT_TRUE(cluster_->WaitReady());
    world_->RunFor(2s);
  }
  EXPECT_EQ(client.With(Consistency::kAll).Values("k"), "v");
  EXPECT_EQ(client.Ask(Stranger()).Values("k"), "v");
}

TEST_P(ClusterTest, ANodeThatEndsInPeaceFailsNobody) {
  Form({.nodes = 4, .coordinators = 1});
  Client client(cluster_.get(), 5);
  client.StartPut("k", "before");
  world_->RunFor(1ms);
  const int owner = Owners()[0];
  cluster_->Node(owner).Drain(1s);
  const absl::StatusOr<WriteAnswer> put = client.Put("k", "during");
  EXPECT_TRUE(put.ok()) << put.status();
  world_->RunFor(200ms);
  EXPECT_FALSE(cluster_->Node(owner).up());
  EXPECT_EQ(client.Values("k"), "before during");
  world_->RunFor(3s);
  EXPECT_TRUE(cluster_->Node(owner).ready());
  EXPECT_EQ(client.Ask(owner).Values("k"), "before during");
}

TEST_P(ClusterTest, WhatAClientHasSeenIsFoundAtOneWithAnOwnerDown) {
  Form({.nodes = 4});
  const std::vector<int> owners = Owners();
  CutOff(owners[0], false);  // It misses the write, and is asked first.
  Client client(cluster_.get(), Stranger());
  const absl::StatusOr<WriteAnswer> put = client.Put("k", "v");
  ASSERT_TRUE(put.ok()) << put.status();
  CutOff(owners[0], true);
  cluster_->Process(owners[1]).Crash();
  world_->RunFor(3s);
  const absl::StatusOr<GetAnswer> read = client.Ask(owners[0]).GetAtLeast("k", put->context);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->siblings.size(), 1u);
  EXPECT_EQ(read->siblings[0].value, "v");
}

TEST_P(ClusterTest, APausedNodeIsRoutedAroundAndComesBack) {
  Form({.nodes = 5, .coordinators = 1});
  world_->RunFor(3s);
  const int paused = Owners()[0];
  cluster_->Node(paused).Pause();
  world_->RunFor(5s);
  for (int process = 1; process <= 6; ++process) {
    if (process == paused) continue;
    EXPECT_NE(StateAt(process, paused), "up") << process;
  }
  // By now nobody waits for it, and it still owns what it owned.
  Client client(cluster_.get(), 6);
  for (int i = 0; i < 20; ++i) {
    const Instant started = world_->now();
    ASSERT_TRUE(client.Put("k", absl::StrCat("v", i)).ok());
    ASSERT_TRUE(client.Get("k").ok());
    EXPECT_LT(world_->now() - started, 100ms);
  }
  EXPECT_EQ(Owners()[0], paused);
  world_->RunFor(20s);
  cluster_->Node(paused).Resume();
  EXPECT_TRUE(world_->RunUntil([&] { return SeenAsUp(paused); }, 3s));
}

TEST_P(ClusterTest, AnOverloadedProcessRefusesAtOnceAndRecovers) {
  Form({.nodes = 3, .operations_max = 8});
  Client client(cluster_.get(), 1);
  for (int node = 1; node <= 3; ++node) {
    cluster_->Node(node).disk().set_conditions({.slow_by = 500ms});
  }
  for (int i = 0; i < 8; ++i) client.StartPut(absl::StrCat("busy-", i), "v");
  world_->RunFor(5ms);
  const Instant started = world_->now();
  const absl::StatusOr<WriteAnswer> refused = client.Put("k", "v");
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status())) << refused.status();
  EXPECT_EQ(DetailsOf(refused.status()).outcome, Outcome::kNotApplied);
  EXPECT_GT(DetailsOf(refused.status()).retry_after, Duration(0));
  EXPECT_LT(world_->now() - started, 10ms);
  EXPECT_TRUE(absl::IsResourceExhausted(client.Get("k").status()));
  for (int node = 1; node <= 3; ++node) cluster_->Node(node).disk().set_conditions({});
  world_->RunFor(3s);
  EXPECT_TRUE(client.Put("k", "v").ok());
  EXPECT_EQ(client.Values("k"), "v");
}

TEST_P(ClusterTest, AWriteThatTwoMintersHaveTooMuchToDoForIsRefusedAtOnce) {
  Form({.nodes = 3, .coordinators = 1, .operations_max = 8});
  std::vector<std::unique_ptr<Client>> busy;
  for (int node = 1; node <= 3; ++node) {
    cluster_->Node(node).disk().set_conditions({.slow_by = 500ms});
    busy.push_back(std::make_unique<Client>(cluster_.get(), node));
    for (int i = 0; i < 8; ++i) busy.back()->StartPut(absl::StrCat("busy-", node, "-", i), "v");
  }
  world_->RunFor(5ms);
  Client client(cluster_.get(), 4);
  const Instant started = world_->now();
  const absl::StatusOr<WriteAnswer> refused = client.Put("k", "v");
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status())) << refused.status();
  EXPECT_EQ(DetailsOf(refused.status()).reason, "OVERLOADED");
  EXPECT_EQ(DetailsOf(refused.status()).outcome, Outcome::kNotApplied);
  EXPECT_GT(DetailsOf(refused.status()).retry_after, Duration(0));
  EXPECT_LT(world_->now() - started, 20ms);
  uint64_t overloads = 0;
  for (int node = 1; node <= 3; ++node) {
    overloads += cluster_->Node(node).node()->Status().counters.overloads;
  }
  EXPECT_EQ(overloads, 2u);
  for (int node = 1; node <= 3; ++node) cluster_->Node(node).disk().set_conditions({});
  world_->RunFor(3s);
  EXPECT_TRUE(client.Put("k", "v").ok());
}

TEST_P(ClusterTest, OwnersThatAreAllLateAreNotReplaced) {
  Form({.nodes = 5, .coordinators = 1});
  for (int node = 1; node <= 5; ++node) {
    cluster_->Node(node).disk().set_conditions({.slow_by = 150ms});
  }
  const auto hints_stored = [&] {
    uint64_t stored = 0;
    for (int node = 1; node <= 5; ++node) {
      stored += cluster_->Node(node).node()->Status().counters.hints_stored;
    }
    return stored;
  };
  Client client(cluster_.get(), 6);
  const auto put_for_two_seconds = [&](std::string prefix) {
    const uint64_t before = hints_stored();
    for (int i = 0; i < 400; ++i) {
      client.StartPut(absl::StrCat(prefix, i), "v");
      world_->RunFor(5ms);
    }
    return hints_stored() - before;
  };
  // At first nobody is known to be late; later a few messages may still be taken for lost.
  EXPECT_GT(put_for_two_seconds("first-"), 40u);
  put_for_two_seconds("then-");
  EXPECT_LE(put_for_two_seconds("last-"), 20u);
}

TEST_P(ClusterTest, AHalfOpenLinkIsFoundAndDialledAnewAndItsEndNotSuspected) {
  Form({.nodes = 5});
  world_->RunFor(3s);
  const Instant started = world_->now();
  cluster_->net().HalfOpen(1, 2);
  EXPECT_TRUE(world_->RunUntil([&] { return StateAt(1, 2) == "silent"; }, 5s));
  EXPECT_TRUE(world_->RunUntil(
      [&] {
        EXPECT_EQ(StateAt(3, 2), "up");
        return StateAt(1, 2) == "up";
      },
      5s - (world_->now() - started)));
}

TEST_P(ClusterTest, ANodeThatReturnsAtANewAddressIsReachedWithinTwoSeconds) {
  Form({.nodes = 5, .coordinators = 1});
  world_->RunFor(3s);
  for (const CrashKind kind : {CrashKind::kProcess, CrashKind::kMachine}) {
    const int moved = Owners()[0];
    cluster_->Node(moved).Crash(kind);
    world_->RunFor(10min);
    cluster_->Node(moved).RestartElsewhere();
    const Instant started = world_->now();
    EXPECT_TRUE(world_->RunUntil([&] { return SeenAsUp(moved); }, 2s))
        << (kind == CrashKind::kMachine ? "machine" : "process");
    EXPECT_EQ(Client(cluster_.get(), moved).Values("k"), "");  // It serves a read at QUORUM.
    EXPECT_LE(world_->now() - started, 2s);
    world_->RunFor(5s);
  }
}

TEST_P(ClusterTest, AScanShowsEachKeyOnceInPagesThatAClientCanTake) {
  Form({.nodes = 3});
  Client client(cluster_.get(), 1);
  std::set<std::string> written;
  for (int i = 0; i < 12; ++i) {
    const std::string key = "key-" + std::to_string(i);
    ASSERT_TRUE(client.Put(key, std::string(900 << 10, 'x')).ok());
    written.insert(key);
  }
  std::set<std::string> seen;
  ScanRequest request{.bucket = "default", .values = true};
  do {
    const absl::StatusOr<ScanPage> page = client.Scan(request);
    ASSERT_TRUE(page.ok()) << page.status();
    size_t bytes = 0;
    for (const ScanItem& item : page->items) {
      EXPECT_TRUE(seen.insert(item.item.key).second) << item.item.key << " came twice";
      for (const ShownSibling& sibling : item.answer.siblings) bytes += sibling.value.size();
    }
    EXPECT_LT(bytes, 2u << 20);
    request.page_token = page->page_token;
  } while (!request.page_token.empty());
  EXPECT_EQ(seen, written);
}

TEST_P(ClusterTest, AScanOfTombstonesMakesProgressPageByPage) {
  Form({.nodes = 3, .partitions = 4, .reap_interval = 3600s});
  Client client(cluster_.get(), 1);
  constexpr int kKeys = 5000;
  for (int i = 0; i < kKeys; ++i) {
    WriteRequest request{.item = Client::ItemOf("gone-" + std::to_string(i)),
                         .is_delete = true,
                         .blind_delete = true};
    ASSERT_TRUE(client.Write(std::move(request)).ok());
  }
  int pages = 0;
  ScanRequest request{.bucket = "default"};
  do {
    const absl::StatusOr<ScanPage> page = client.Scan(request);
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_TRUE(page->items.empty());
    request.page_token = page->page_token;
    ++pages;
  } while (!request.page_token.empty());
  EXPECT_GT(pages, 1);
}

}  // namespace
}  // namespace annulus::sim
