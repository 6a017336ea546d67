#include "core/gossip/gossip.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace annulus {
namespace {

constexpr Duration kLatency = 1ms;

// Some processes that gossip, on a clock of their own, over lines that can be cut.
class Town {
 public:
  Town(int members, int observers, uint64_t seed) : random_(seed) {
    for (int i = 0; i < members + observers; ++i) {
      processes_.push_back(std::make_unique<Process>());
      processes_[i]->observer = i >= members;
      if (i < members) ids_.push_back(IdOf(i));
    }
    for (int i = 0; i < members + observers; ++i) Start(i);
  }

  static NodeId IdOf(int i) { return NodeId(1 + i); }
  int size() const { return static_cast<int>(processes_.size()); }
  int members() const { return static_cast<int>(ids_.size()); }
  Gossip& at(int i) { return *processes_[i]->gossip; }
  Standing View(int from, int of) { return at(from).Find(IdOf(of))->standing; }
  bool up(int i) const { return processes_[i]->up; }
  bool paused(int i) const { return processes_[i]->paused; }

  // A new incarnation, which knows nothing, at a new address.
  void Start(int i) {
    Process& process = *processes_[i];
    process.up = true;
    ++process.life;
    const std::string address = "node:" + std::to_string(++starts_);
    process.gossip = std::make_unique<Gossip>(
        IdOf(i), process.observer,
        MemberFacts{.incarnation = Incarnation(random_.Next()), .peer_address = address},
        Gossip::Options{});
    process.gossip->SetMembers(ids_);
    for (int other = 0; other < members(); ++other) {
      if (other != i) Ping(i, other);
    }
    Wake(i);
  }
  void Crash(int i) {
    processes_[i]->up = false;
    processes_[i]->paused = false;
    processes_[i]->deferred.clear();
    ++processes_[i]->life;
  }
  void Pause(int i) { processes_[i]->paused = true; }
  void Resume(int i) {
    processes_[i]->paused = false;
    std::vector<Job> deferred = std::exchange(processes_[i]->deferred, {});
    for (Job& job : deferred) Enqueue(i, Duration(0), std::move(job));
  }
  void Cut(int a, int b) { cuts_.insert(std::minmax(a, b)); }
  void Isolate(int a) {
    for (int b = 0; b < size(); ++b) {
      if (b != a) Cut(a, b);
    }
  }
  void HealLines() { cuts_.clear(); }

  void Run(Duration duration) {
    const Instant until = now_ + duration;
    while (!events_.empty() && events_.begin()->first.first <= until) {
      auto event = events_.extract(events_.begin());
      now_ = event.key().first;
      event.mapped()();
      if (after_) after_();
    }
    now_ = until;
  }
  void AfterEachEvent(std::function<void()> check) { after_ = std::move(check); }

  // Everybody sees everybody as alive, and as the one that it is now.
  bool AllAgree() {
    for (int i = 0; i < size(); ++i) {
      for (int j = 0; j < members(); ++j) {
        if (i == j) continue;
        const GossipUpdate& held = *at(i).Find(IdOf(j));
        if (held.standing != Standing::kAlive || held.facts != at(j).own().facts) return false;
      }
    }
    return true;
  }

  uint64_t messages = 0;
  uint64_t bytes_max = 0;

 private:
  using Job = std::function<void()>;
  struct Process {
    std::unique_ptr<Gossip> gossip;
    bool observer = false;
    bool up = false;
    bool paused = false;
    int life = 0;
    std::vector<Job> deferred;
  };

  // Runs at the process, unless its life has ended by then; waits while it is paused.
  void Enqueue(int i, Duration after, Job job) {
    const int life = processes_[i]->life;
    Push(now_ + after, [this, i, life, job = std::move(job)] {
      Process& process = *processes_[i];
      if (process.life != life || !process.up) return;
      if (process.paused) {
        process.deferred.push_back(job);
      } else {
        job();
      }
    });
  }
  void Push(Instant at, Job job) { events_[{at, ++sequence_}] = std::move(job); }

  void Wake(int i) {
    const Gossip::Effects effects = at(i).Tick(now_, &random_);
    if (effects.probe.has_value()) Ping(i, Number(*effects.probe));
    for (const Gossip::Effects::AskRelay& ask : effects.ask) Ask(i, ask);
    Enqueue(i, std::max<Duration>(at(i).NextTick() - now_, 1us), [this, i] { Wake(i); });
  }

  // Runs there after a while, if it gets there.
  void Send(int from, int to, Job job) {
    if (cuts_.contains(std::minmax(from, to))) return;
    ++messages;
    Enqueue(to, kLatency, std::move(job));
  }
  Bytes MessageOf(int from, int to) {
    Bytes message = at(from).MessageTo(IdOf(to));
    bytes_max = std::max<uint64_t>(bytes_max, message.size());
    return message;
  }

  void Ping(int from, int to, Job answered = nullptr) {
    Send(from, to, [this, from, to, message = MessageOf(from, to), answered] {
      EXPECT_TRUE(at(to).Receive(IdOf(from), message, now_).ok());
      Send(to, from, [this, from, to, message = MessageOf(to, from), answered] {
        at(from).Heard(IdOf(to), now_);
        EXPECT_TRUE(at(from).Receive(IdOf(to), message, now_).ok());
        if (answered) answered();
      });
    });
  }

  void Ask(int from, const Gossip::Effects::AskRelay& ask) {
    const int relay = Number(ask.relay), target = Number(ask.target);
    Send(from, relay, [this, from, relay, target, ask] {
      auto answer = [this, from, relay, target](bool reached) {
        Send(relay, from, [this, from, relay, target, reached] {
          at(from).RelayAnswered(IdOf(relay), IdOf(target), reached);
        });
      };
      auto done = std::make_shared<bool>(false);
      Ping(relay, target, [done, answer] {
        if (!std::exchange(*done, true)) answer(true);
      });
      Enqueue(relay, ask.timeout, [done, answer] {
        if (!std::exchange(*done, true)) answer(false);
      });
    });
  }

  int Number(NodeId id) const { return static_cast<int>(id.value()) - 1; }

  Random random_;
  Instant now_{1h};
  uint64_t sequence_ = 0;
  uint64_t starts_ = 0;
  std::vector<NodeId> ids_;
  std::vector<std::unique_ptr<Process>> processes_;
  std::set<std::pair<int, int>> cuts_;
  std::map<std::pair<Instant, uint64_t>, Job> events_;
  std::function<void()> after_;
};

class GossipTest : public testing::TestWithParam<uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, GossipTest, testing::Range<uint64_t>(1, 11));

TEST_P(GossipTest, NobodyIsSuspectedWithoutAReasonAndItIsCheap) {
  Town town(5, 2, GetParam());
  town.AfterEachEvent([&] {
    for (int i = 0; i < 7; ++i) {
      for (int j = 0; j < 5; ++j) {
        if (i != j) {
          ASSERT_EQ(town.View(i, j), Standing::kAlive);
        }
      }
    }
  });
  town.Run(2s);
  EXPECT_TRUE(town.AllAgree());
  town.messages = 0;
  town.Run(60s);
  // A probe and its answer a period, whatever the number of members.
  EXPECT_LE(town.messages, 7 * 2 * 5 * 60 + 14);
  EXPECT_LE(town.bytes_max, Gossip::Options{}.message_bytes_max);
}

TEST_P(GossipTest, ACrashIsFoundByEverybody) {
  Town town(5, 1, GetParam());
  town.Run(3s);
  town.Crash(2);
  town.Run(12s);
  for (int i = 0; i < 6; ++i) {
    if (i != 2) {
      EXPECT_EQ(town.View(i, 2), Standing::kDead) << i;
    }
  }
}

TEST_P(GossipTest, APausedMemberIsSuspectedAndComesBackByRefuting) {
  Town town(5, 1, GetParam());
  town.Run(3s);
  const uint64_t before = town.at(2).own().refutation;
  town.Pause(2);
  town.Run(3s);
  for (int i = 0; i < 5; ++i) {
    if (i != 2) {
      EXPECT_NE(town.View(i, 2), Standing::kAlive) << i;
    }
  }
  town.Run(27s);
  town.Resume(2);
  // It stood still, not they.
  town.AfterEachEvent([&] {
    for (int i = 0; i < 5; ++i) {
      if (i != 2) {
        ASSERT_NE(town.View(2, i), Standing::kDead);
      }
    }
  });
  town.Run(5s);
  EXPECT_TRUE(town.AllAgree());
  EXPECT_GT(town.at(2).own().refutation, before);
}

TEST_P(GossipTest, ACutBetweenTwoIsNoDeath) {
  Town town(5, 0, GetParam());
  town.Run(3s);
  town.Cut(0, 1);
  town.AfterEachEvent([&] {
    for (int i = 0; i < 5; ++i) {
      for (int j = 0; j < 5; ++j) {
        if (i != j) {
          ASSERT_EQ(town.View(i, j), Standing::kAlive);
        }
      }
    }
  });
  town.Run(60s);
}

TEST_P(GossipTest, TheOneThatIsCutOffDeclaresNobodyDead) {
  Town town(5, 1, GetParam());
  town.Run(3s);
  town.Isolate(0);
  town.AfterEachEvent([&] {
    for (int i = 0; i < 6; ++i) {
      for (int j = 1; j < 5; ++j) {
        if (i != j) {
          ASSERT_NE(town.View(i, j), Standing::kDead) << i << " of " << j;
        }
      }
    }
  });
  town.Run(40s);
  EXPECT_EQ(town.View(1, 0), Standing::kDead);
  town.HealLines();
  town.Run(10s);
  EXPECT_TRUE(town.AllAgree());
}

TEST_P(GossipTest, ARestartedMemberOvertakesWhatIsSaidOfIt) {
  Town town(5, 1, GetParam());
  town.Run(3s);
  for (int round = 0; round < 3; ++round) {
    town.Crash(2);
    town.Run(round == 1 ? 20s : 300ms);  // Declared dead, or not even suspected.
    town.Start(2);
    town.Run(2s);
    EXPECT_TRUE(town.AllAgree()) << round;  // With its new incarnation and address.
  }
}

TEST_P(GossipTest, WhatAMemberSaysOfItselfReachesEverybody) {
  Town town(7, 1, GetParam());
  town.Run(3s);
  MemberFacts facts = town.at(3).own().facts;
  facts.sequence = 42;
  facts.rebuilding = 3;
  town.at(3).SetOwn(facts);
  town.Run(2s);
  for (int i = 0; i < 8; ++i) {
    if (i != 3) {
      EXPECT_EQ(town.at(i).Find(Town::IdOf(3))->facts, facts);
    }
  }
}

TEST(Gossip, ASequenceRisesWithoutBeingNews) {
  Gossip gossip(NodeId(1), /*observer=*/false, {.incarnation = Incarnation(10)}, {});
  MemberFacts own = gossip.own().facts;
  own.sequence = 5;
  gossip.SetOwn(own);
  EXPECT_EQ(gossip.own().facts.sequence, 5u);
  EXPECT_EQ(gossip.own().refutation, 0u);
  own.rebuilding = 1;
  gossip.SetOwn(own);
  EXPECT_EQ(gossip.own().refutation, 1u);
}

TEST(Gossip, TheHighestSequenceOfAnyLifeIsRemembered) {
  Gossip gossip(NodeId(1), /*observer=*/false, {.incarnation = Incarnation(10)}, {});
  gossip.SetMembers({NodeId(2)});
  EXPECT_EQ(gossip.SequenceOf(NodeId(2)), 0u);
  auto hear = [&](uint64_t refutation, uint64_t incarnation, uint64_t sequence) {
    Bytes message;
    PutUpdate(&message, {.node = NodeId(2),
                         .refutation = refutation,
                         .facts = {.incarnation = Incarnation(incarnation), .sequence = sequence}});
    EXPECT_TRUE(gossip.Receive(NodeId(2), message, Instant(1s)).ok());
  };
  hear(0, 20, 7);
  gossip.TakeChanged();
  hear(0, 20, 9);
  EXPECT_TRUE(gossip.TakeChanged().empty());
  EXPECT_EQ(gossip.Find(NodeId(2))->facts.sequence, 9u);
  hear(0, 20, 8);  // It was overtaken on the way.
  EXPECT_EQ(gossip.Find(NodeId(2))->facts.sequence, 9u);
  hear(1, 21, 3);  // Back, with another disk.
  EXPECT_EQ(gossip.Find(NodeId(2))->facts.sequence, 3u);
  EXPECT_EQ(gossip.SequenceOf(NodeId(2)), 9u);
}

TEST(Gossip, OthersWithItsIdAreNoticed) {
  Gossip gossip(NodeId(1), /*observer=*/false, {.incarnation = Incarnation(10)}, {});
  gossip.SetMembers({NodeId(2)});
  auto hear = [&](uint64_t refutation, uint64_t incarnation) {
    Bytes message;
    PutUpdate(&message, {.node = NodeId(1),
                         .refutation = refutation,
                         .facts = {.incarnation = Incarnation(incarnation),
                                   .peer_address = absl::StrCat("host-", incarnation)}});
    EXPECT_TRUE(gossip.Receive(NodeId(2), message, Instant(1s)).ok());
  };
  hear(5, 10);
  EXPECT_TRUE(gossip.TakeNamesakes().empty()) << "itself";
  hear(0, 11);
  hear(9, 12);
  EXPECT_EQ(gossip.TakeNamesakes(),
            (std::map<Incarnation, std::string>{{Incarnation(11), "host-11"},
                                                {Incarnation(12), "host-12"}}));
  EXPECT_TRUE(gossip.TakeNamesakes().empty());
  EXPECT_GT(gossip.own().refutation, 9u);
}

TEST(Gossip, ConfirmationsShortenASuspicion) {
  auto until_dead = [](std::vector<NodeId> suspectors) {
    Random random(1);
    Gossip gossip(NodeId(1), /*observer=*/true, {}, {});
    gossip.SetMembers({NodeId(2), NodeId(3), NodeId(4), NodeId(5), NodeId(6)});
    Instant now(1h);
    Bytes message;
    PutUpdate(
        &message,
        {.node = NodeId(2), .standing = Standing::kSuspect, .suspectors = std::move(suspectors)});
    EXPECT_TRUE(gossip.Receive(NodeId(3), message, now).ok());
    const Instant started = now;
    while (gossip.Find(NodeId(2))->standing != Standing::kDead) {
      for (uint64_t id = 3; id <= 6; ++id) gossip.Heard(NodeId(id), now);
      gossip.Tick(now, &random);
      now += 1ms;
    }
    return now - started;
  };
  const Duration one = until_dead({NodeId(3)});
  const Duration two = until_dead({NodeId(3), NodeId(4)});
  const Duration four = until_dead({NodeId(3), NodeId(4), NodeId(5), NodeId(6)});
  EXPECT_GT(one, two);
  EXPECT_GT(two, four);
  EXPECT_GE(four, 1s);
}

TEST(Gossip, AProcessWithoutAnswersGrowsSlowToAccuse) {
  Random random(1);
  Gossip gossip(NodeId(1), /*observer=*/false, {}, {});
  gossip.SetMembers({NodeId(2), NodeId(3), NodeId(4)});
  Instant now(1h);
  int probes = 0;
  for (const Instant until = now + 20s; now < until; now += 1ms) {
    probes += gossip.Tick(now, &random).probe.has_value();
  }
  EXPECT_EQ(gossip.health(), Gossip::Options{}.health_max);
  EXPECT_LT(probes, 30);  // Instead of 100.
}

TEST(Gossip, AMessageIsBoundedInALargeCluster) {
  Gossip gossip(NodeId(1), /*observer=*/false, {.incarnation = Incarnation(1)}, {});
  std::vector<NodeId> members;
  Bytes news;
  for (uint64_t id = 2; id < 300; ++id) {
    members.push_back(NodeId(id));
    PutUpdate(&news, {.node = NodeId(id),
                      .refutation = id,
                      .facts = {.incarnation = Incarnation(id),
                                .peer_address = "a-host-of-some-length.example:50052"}});
  }
  gossip.SetMembers(members);
  ASSERT_TRUE(gossip.Receive(NodeId(2), news, Instant(1h)).ok());
  std::set<NodeId> told;
  for (int i = 0; i < 60; ++i) {
    const Bytes message = gossip.MessageTo(NodeId(2));
    EXPECT_LE(message.size(), Gossip::Options{}.message_bytes_max);
    ByteReader reader(message);
    GossipUpdate update;
    while (TakeUpdate(&reader, &update)) told.insert(update.node);
  }
  EXPECT_EQ(told.size(), members.size());  // Itself too, but not the receiver.
}

TEST(Gossip, AMalformedMessageEndsThereAndHarmsNothing) {
  Gossip gossip(NodeId(1), /*observer=*/false, {}, {});
  gossip.SetMembers({NodeId(2), NodeId(3)});
  Bytes message;
  PutUpdate(&message, {.node = NodeId(3), .refutation = 5});
  message += "noise";
  EXPECT_FALSE(gossip.Receive(NodeId(2), message, Instant(1h)).ok());
  EXPECT_EQ(gossip.Find(NodeId(3))->refutation, 5u);
}

// Whatever happens to whom, once it is over everybody sees everybody as they are.
RC_GTEST_PROP(Gossip, ViewsConverge, ()) {
  const int members = *rc::gen::inRange(2, 8);
  Town town(members, *rc::gen::inRange(0, 3), *rc::gen::arbitrary<uint64_t>());
  const auto steps = *rc::gen::arbitrary<std::vector<std::tuple<uint8_t, uint8_t, uint8_t>>>();
  for (const auto& [kind, who, other] : steps) {
    const int i = who % town.size();
    const int j = other % town.size();
    switch (kind % 6) {
      case 0:
        if (town.up(i)) town.Crash(i);
        break;
      case 1:
        if (!town.up(i)) town.Start(i);
        break;
      case 2:
        if (town.up(i)) town.Pause(i);
        break;
      case 3:
        if (town.up(i) && town.paused(i)) town.Resume(i);
        break;
      case 4:
        if (i != j) town.Cut(i, j);
        break;
      case 5:
        town.HealLines();
        break;
    }
    town.Run(Duration(1ms) * (other * 20));
  }
  town.HealLines();
  for (int i = 0; i < town.size(); ++i) {
    if (!town.up(i)) town.Start(i);
    if (town.paused(i)) town.Resume(i);
  }
  town.Run(60s);
  RC_ASSERT(town.AllAgree());
}

}  // namespace
}  // namespace annulus
