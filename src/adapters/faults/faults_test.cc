#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "adapters/faults/faulty_env.h"
#include "core/error.h"
#include "task/manual_loop.h"

namespace annulus {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr NodeId kPeer{2};

// Answers every request in the next turn with an empty read, and lets a test call its handler.
class FakeTransport final : public Transport {
 public:
  explicit FakeTransport(Loop* loop) : loop_(loop) {}
  void SetIdentity(NodeId /*id*/, Incarnation /*incarnation*/) override {}

  class FakeLink final : public Link {
   public:
    explicit FakeLink(FakeTransport* transport) : transport_(transport) {}
    void Call(PeerRequest, Instant, LayoutVersion, PeerDone done) override {
      transport_->sent.push_back(transport_->loop_->Now());
      transport_->loop_->Post([result = transport_->result, done = std::move(done)]() mutable {
        done(std::move(result));
      });
    }
    void Redial(std::string) override {}
    bool Connected() const override { return true; }

   private:
    FakeTransport* transport_;
  };

  std::unique_ptr<Link> Open(std::string, NodeId) override {
    return std::make_unique<FakeLink>(this);
  }
  void Serve(Handler handler) override { handler_ = std::move(handler); }

  // As if the peer had sent a request; the answer goes to `done`.
  void Receive(NodeId from, Instant deadline, PeerDone done) {
    handler_({.from = from, .deadline = deadline}, PingRequest{}, std::move(done));
  }

  std::vector<Instant> sent;
  PeerResult result = PeerReply(ReadReply{});

 private:
  Loop* loop_;
  Handler handler_;
};

class FakeStorage final : public Storage {
 public:
  void Read(ColumnFamily, Bytes, ReadDone done) override { done(std::nullopt); }
  void Commit(StorageBatch batch, CommitDone done) override {
    committed.push_back(batch.front().key);
    done(absl::OkStatus());
  }
  void ReadRange(ColumnFamily, Bytes, Bytes, size_t, size_t, PageDone done) override {
    done(StoragePage{});
  }
  bool Syncs() const override { return true; }
  uint64_t Sequence() const override { return 0; }

  std::vector<Bytes> committed;
};

struct FixedClock final : Clock {
  WallTime Wall() const override { return {1'000'000}; }
};

class Faults : public testing::Test {
 protected:
  Faults()
      : inner_(&loop_),
        faulty_({.loop = &loop_,
                 .clock = &clock_,
                 .transport = &inner_,
                 .storage = &disk_,
                 .random = &random_},
                {.request = [](const PeerRequest&) { return size_t{100}; },
                 .reply = [](const PeerReply&) { return size_t{100}; }}) {}

  void Set(FaultKind kind, Duration lasts = Duration{0}) {
    faulty_.plane()->Set({kind, lasts == Duration{0} ? kForever : loop_.Now() + lasts});
  }
  // Calls, moves time until there is an answer, and returns how long that took.
  Duration CallTakes(Link* link, Duration timeout = 10s) {
    std::optional<Instant> ended;
    const Instant began = loop_.Now();
    link->Call(PingRequest{}, began + timeout, LayoutVersion(1), [&](PeerResult result) {
      ended = loop_.Now();
      code_ = result.status().code();
    });
    for (int i = 0; i < 20'000 && !ended.has_value(); ++i) loop_.Advance(1ms);
    return ended.value_or(kForever) - began;
  }
  // The same for a request of the peer; nullopt where it gets none before its deadline.
  std::optional<Duration> AnswerTakes(NodeId from, Duration timeout = 1s) {
    std::optional<Instant> ended;
    const Instant began = loop_.Now();
    inner_.Receive(from, began + timeout, [&](PeerResult) { ended = loop_.Now(); });
    for (int i = 0; i < 20'000 && !ended.has_value(); ++i) loop_.Advance(1ms);
    if (!ended.has_value() || *ended >= began + timeout) return std::nullopt;
    return *ended - began;
  }
  std::unique_ptr<Link> Open(NodeId peer = kPeer) {
    return faulty_.env().transport->Open("host:1", peer);
  }
  void Serve() {
    faulty_.env().transport->Serve([this](PeerContext, PeerRequest, PeerDone done) {
      ++taken_;
      done(PeerReply(PingReply{}));
    });
  }

  ManualLoop loop_;
  FakeTransport inner_;
  FakeStorage disk_;
  FixedClock clock_;
  Random random_{1};
  FaultyEnv faulty_;
  absl::StatusCode code_ = absl::StatusCode::kOk;
  int taken_ = 0;
};

TEST_F(Faults, WithoutAFaultNothingIsHeld) {
  auto link = Open();
  EXPECT_TRUE(link->Connected());
  EXPECT_LE(CallTakes(link.get()), 1ms);
  EXPECT_EQ(code_, absl::StatusCode::kOk);
  EXPECT_EQ(loop_.timers(), 0u);
}

TEST_F(Faults, HoldsRequestsAndReplies) {
  auto link = Open();
  Set(LinkFault{.peer = kPeer, .direction = FaultDirection::kOut, .delay = 30ms});
  EXPECT_EQ(CallTakes(link.get()), 30ms);
  EXPECT_THAT(inner_.sent, ElementsAre(Instant(30ms)));
  Set(LinkFault{.peer = kPeer, .direction = FaultDirection::kIn, .delay = 50ms});
  EXPECT_EQ(CallTakes(link.get()), 80ms);
  EXPECT_EQ(code_, absl::StatusCode::kOk);

  Serve();
  EXPECT_EQ(AnswerTakes(kPeer), Duration(80ms));
  EXPECT_LE(AnswerTakes(NodeId(3)).value(), 1ms);
}

TEST_F(Faults, ALostMessageIsHeardOfAtTheDeadline) {
  auto link = Open();
  Set(LinkFault{.peer = kPeer, .direction = FaultDirection::kOut, .loss = 1});
  EXPECT_EQ(CallTakes(link.get(), 200ms), 200ms);
  EXPECT_EQ(code_, absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(inner_.sent, IsEmpty());

  // One way only: what the peer sends arrives, and takes effect; it does not hear of that.
  Serve();
  EXPECT_EQ(AnswerTakes(kPeer), std::nullopt);
  EXPECT_EQ(taken_, 1);

  faulty_.plane()->Clear();
  Set(LinkFault{.peer = kPeer, .direction = FaultDirection::kIn, .loss = 1});
  EXPECT_EQ(CallTakes(link.get(), 200ms), 200ms);
  EXPECT_EQ(inner_.sent.size(), 1u);
  EXPECT_EQ(AnswerTakes(kPeer), std::nullopt);
  EXPECT_EQ(taken_, 1);
}

TEST_F(Faults, ADelayBeyondTheDeadlineIsNoAnswerInTime) {
  auto link = Open();
  Set(LinkFault{.peer = kPeer, .direction = FaultDirection::kIn, .delay = 1s});
  EXPECT_EQ(CallTakes(link.get(), 200ms), 200ms);
  EXPECT_EQ(code_, absl::StatusCode::kDeadlineExceeded);
  loop_.Advance(2s);
}

TEST_F(Faults, ErrorsOfTheLinkItselfAreNotHeld) {
  auto link = Open();
  Set(LinkFault{.peer = kPeer, .direction = FaultDirection::kIn, .delay = 1s});
  inner_.result = WithDetails(absl::UnavailableError("down"), {.reason = kReasonNotSent});
  EXPECT_LE(CallTakes(link.get()), 1ms);
  EXPECT_EQ(code_, absl::StatusCode::kUnavailable);
  inner_.result = absl::FailedPreconditionError("the peer says no");
  EXPECT_EQ(CallTakes(link.get()), 1s);
}

TEST_F(Faults, AFaultOfOnePeerStandsBeforeThatOfAll) {
  auto link = Open();
  auto other = Open(NodeId(3));
  Set(LinkFault{.direction = FaultDirection::kOut, .delay = 70ms});
  Set(LinkFault{.peer = kPeer, .direction = FaultDirection::kOut, .delay = 10ms});
  EXPECT_EQ(CallTakes(link.get()), 10ms);
  EXPECT_EQ(CallTakes(other.get()), 70ms);
}

TEST_F(Faults, EndByThemselvesOrAreReplaced) {
  auto link = Open();
  Set(LinkFault{.peer = kPeer, .direction = FaultDirection::kOut, .delay = 10ms}, 1s);
  EXPECT_EQ(faulty_.plane()->Active().size(), 1u);
  Set(LinkFault{.peer = kPeer, .direction = FaultDirection::kOut, .delay = 20ms}, 1s);
  EXPECT_EQ(faulty_.plane()->Active().size(), 1u);
  EXPECT_EQ(CallTakes(link.get()), 20ms);
  loop_.Advance(1s);
  EXPECT_LE(CallTakes(link.get()), 1ms);
  EXPECT_THAT(faulty_.plane()->Active(), IsEmpty());
}

TEST_F(Faults, LossAndJitterAreAsManyAsSaid) {
  auto link = Open();
  Set(LinkFault{.peer = kPeer, .direction = FaultDirection::kOut, .jitter = 100ms, .loss = 0.25});
  int lost = 0;
  Duration least = 1s, most{0};
  for (int i = 0; i < 400; ++i) {
    const Duration took = CallTakes(link.get(), 200ms);
    if (code_ != absl::StatusCode::kOk) {
      ++lost;
      continue;
    }
    least = std::min(least, took);
    most = std::max(most, took);
  }
  EXPECT_NEAR(lost, 100, 40);
  EXPECT_LT(least, 20ms);
  EXPECT_GT(most, 80ms);
  EXPECT_LE(most, 101ms);
}

TEST_F(Faults, MessagesQueueForTheBandwidth) {
  auto link = Open();
  Set(LinkFault{.peer = kPeer, .direction = FaultDirection::kOut, .bytes_per_second = 1000});
  int answers = 0;
  for (int i = 0; i < 5; ++i) {
    link->Call(PingRequest{}, kForever, LayoutVersion(1), [&](PeerResult) { ++answers; });
  }
  loop_.Advance(350ms);  // 100 bytes each.
  EXPECT_EQ(answers, 3);
  loop_.Advance(200ms);
  EXPECT_EQ(answers, 5);
}

TEST_F(Faults, AClosedLinkDropsWhatIsHeld) {
  auto link = Open();
  Set(LinkFault{.direction = FaultDirection::kOut, .delay = 10ms});
  auto alive = std::make_shared<int>(0);
  link->Call(PingRequest{}, loop_.Now() + 1s, LayoutVersion(1),
             [alive](PeerResult) { FAIL() << "the link is gone"; });
  link.reset();
  EXPECT_EQ(alive.use_count(), 1);
  loop_.Advance(2s);
  EXPECT_THAT(inner_.sent, IsEmpty());
}

TEST_F(Faults, AStoppedServerTakesNothingThatWasHeld) {
  Serve();
  Set(LinkFault{.direction = FaultDirection::kIn, .delay = 10ms});
  inner_.Receive(kPeer, loop_.Now() + 1s, [](PeerResult) { FAIL() << "nobody answers"; });
  faulty_.StopServing();
  loop_.Advance(2s);
  EXPECT_EQ(taken_, 0);
}

TEST_F(Faults, ASlowDiskKeepsTheOrder) {
  Storage* disk = faulty_.env().storage;
  std::vector<Instant> done;
  const auto commit = [&](const char* key) {
    disk->Commit({{ColumnFamily::kData, key, "v"}},
                 [&](absl::Status) { done.push_back(loop_.Now()); });
  };
  Set(DiskFault{.commit_delay = 100ms});
  commit("a");
  loop_.Advance(50ms);
  commit("b");
  faulty_.plane()->Clear();
  commit("c");  // Not before those that are held.
  EXPECT_THAT(disk_.committed, IsEmpty());
  loop_.Advance(1s);
  EXPECT_THAT(disk_.committed, ElementsAre("a", "b", "c"));
  EXPECT_THAT(done, ElementsAre(Instant(100ms), Instant(150ms), Instant(150ms)));
  commit("d");
  EXPECT_EQ(disk_.committed.size(), 4u);
}

TEST_F(Faults, AFullDiskRefusesCommitsAndStillReads) {
  Storage* disk = faulty_.env().storage;
  Set(DiskFault{.full = true}, 1s);
  absl::Status status;
  const auto commit = [&] {
    disk->Commit({{ColumnFamily::kData, "k", "v"}}, [&](absl::Status s) { status = s; });
    loop_.Run();
  };
  commit();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(DetailsOf(status).reason, "DISK_FULL");
  EXPECT_THAT(disk_.committed, IsEmpty());
  disk->Commit({{ColumnFamily::kHint, "h", std::nullopt}}, [&](absl::Status s) { status = s; });
  loop_.Run();
  EXPECT_TRUE(status.ok()) << "what only removes makes room";
  disk_.committed.clear();
  bool read = false;
  disk->Read(ColumnFamily::kData, "k", [&](auto result) { read = result.ok(); });
  EXPECT_TRUE(read);
  loop_.Advance(1s);
  commit();
  EXPECT_TRUE(status.ok());
  EXPECT_THAT(disk_.committed, ElementsAre("k"));
}

TEST_F(Faults, ASkewedClockTellsAnotherTime) {
  EXPECT_EQ(faulty_.env().clock->Wall().micros, 1'000'000);
  Set(ClockFault{.skew = -400ms});
  EXPECT_EQ(faulty_.env().clock->Wall().micros, 600'000);
}

}  // namespace
}  // namespace annulus
