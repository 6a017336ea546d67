#include "sim/sim_net.h"

#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "gtest/gtest.h"

namespace annulus::sim {
namespace {

// Two processes and a line from the first to the second.
class SimNetTest : public testing::Test {
 protected:
  static constexpr uint16_t kCaller = 1;
  static constexpr uint16_t kServer = 2;

  void SetUp() override {
    caller_ = net_.Attach(caller_loop_, "a:1");
    StartServer();
    link_ = caller_->Open("b:1", NodeId());
    world_.RunFor(10ms);
    ASSERT_TRUE(link_->Connected());
  }

  void TearDown() override {
    caller_loop_->Kill();
    link_.reset();
    caller_.reset();
    CrashServer();
  }

  void StartServer() {
    server_loop_ = world_.NewLoop(kServer, {.boot = 77s});
    server_ = net_.Attach(server_loop_, "b:1");
    server_->SetIdentity(NodeId(2), Incarnation(1));
    server_->Serve([this](PeerContext context, PeerRequest, PeerDone done) {
      ++handled_;
      deadline_left_ = context.deadline - server_loop_->Now();
      world_.After(server_loop_, work_, [this, done = std::move(done)]() mutable {
        done(PeerReply(PingReply{.gossip = std::to_string(handled_)}));
      });
    });
  }

  void CrashServer() {
    if (server_ == nullptr) return;
    server_loop_->Kill();
    server_.reset();
  }

  void Call(Duration within) {
    const int call = static_cast<int>(results_.size());
    results_.emplace_back();
    link_->Call(PingRequest{}, caller_loop_->Now() + within, LayoutVersion(1),
                [this, call](PeerResult result) {
                  ++done_;
                  ASSERT_FALSE(results_[call].has_value());
                  results_[call] = result.ok() ? "OK" : DetailsOf(result.status()).reason;
                });
    EXPECT_FALSE(results_[call].has_value());  // Never before Call returns.
  }

  World world_{7};
  SimNet net_{&world_, 3};
  SimLoop* caller_loop_ = world_.NewLoop(kCaller, {.boot = 1000s});
  SimLoop* server_loop_ = nullptr;
  std::unique_ptr<SimTransport> caller_;
  std::unique_ptr<SimTransport> server_;
  std::unique_ptr<Link> link_;
  Duration work_ = 1ms;
  int handled_ = 0;
  int done_ = 0;
  Duration deadline_left_{0};
  std::vector<std::optional<std::string>> results_;
};

TEST_F(SimNetTest, AReplyComesBackAndTheDeadlineTravelsAsTimeLeft) {
  Call(1s);
  world_.RunFor(100ms);
  EXPECT_EQ(results_[0], "OK");
  EXPECT_GT(deadline_left_, 990ms);
  EXPECT_LE(deadline_left_, 1s);
}

TEST_F(SimNetTest, ALostMessageMeetsItsDeadline) {
  net_.SetPath(kCaller, kServer, {.loss = 1});
  Call(1s);
  world_.RunFor(999ms);
  EXPECT_EQ(results_[0], std::nullopt);
  world_.RunFor(2ms);
  EXPECT_EQ(results_[0], "DEADLINE_EXCEEDED");
  EXPECT_EQ(handled_, 0);
}

TEST_F(SimNetTest, AHalfOpenConnectionSwallowsAllUntilKeepaliveTells) {
  net_.HalfOpen(kCaller, kServer);
  Call(10s);
  world_.RunFor(SimNet::kKeepalive - 1ms);
  EXPECT_TRUE(link_->Connected());
  EXPECT_EQ(results_[0], std::nullopt);
  world_.RunFor(1s);
  EXPECT_EQ(results_[0], kReasonLinkLost);
  EXPECT_EQ(handled_, 0);
  Call(1s);  // Dialled again.
  world_.RunFor(1s);
  EXPECT_EQ(results_[1], "OK");
}

TEST_F(SimNetTest, AThinLinkCarriesOneMessageAfterTheOther) {
  net_.SetPath(kCaller, kServer, {.bytes_per_second = 100});
  for (int i = 0; i < 5; ++i) Call(1min);
  world_.RunFor(60ms);
  EXPECT_LT(handled_, 3);
  world_.RunFor(1s);
  EXPECT_EQ(handled_, 5);
}

TEST_F(SimNetTest, ADuplicateIsHandledTwiceAndDoneOnce) {
  net_.SetLink(kCaller, kServer, {.duplicate = 1});
  Call(1s);
  world_.RunFor(2s);
  EXPECT_EQ(handled_, 2);
  EXPECT_EQ(done_, 1);
  EXPECT_EQ(results_[0], "OK");
}

TEST_F(SimNetTest, ACrashLosesTheLineAndALaterCallIsNotSentUntilItIsBack) {
  work_ = 50ms;
  Call(10s);
  world_.RunFor(10ms);
  CrashServer();
  world_.RunFor(10ms);
  EXPECT_EQ(results_[0], "LINK_LOST");
  EXPECT_FALSE(link_->Connected());
  Call(10s);
  world_.RunFor(10ms);
  EXPECT_EQ(results_[1], "NOT_SENT");
  StartServer();
  world_.RunFor(1s);
  EXPECT_TRUE(link_->Connected());
  Call(10s);
  world_.RunFor(100ms);
  EXPECT_EQ(results_[2], "OK");
}

TEST_F(SimNetTest, AMachineThatVanishesIsMissedByKeepalive) {
  server_->DieSilently();
  CrashServer();
  Call(10s);
  world_.RunFor(2900ms);
  EXPECT_EQ(results_[0], std::nullopt);
  EXPECT_TRUE(link_->Connected());
  world_.RunFor(1s);
  EXPECT_EQ(results_[0], "LINK_LOST");
}

TEST_F(SimNetTest, ANewProcessAtTheAddressResetsWhatItDoesNotKnow) {
  server_->DieSilently();
  CrashServer();
  StartServer();
  Call(10s);
  world_.RunFor(50ms);
  EXPECT_EQ(results_[0], "LINK_LOST");
  EXPECT_EQ(handled_, 0);
}

TEST_F(SimNetTest, AShortCutOnlyDelays) {
  net_.SetPath(kCaller, kServer, {.up = false});
  Call(10s);
  world_.RunFor(300ms);
  EXPECT_EQ(handled_, 0);
  net_.HealAll();
  world_.RunFor(1s);
  EXPECT_EQ(results_[0], "OK");
}

TEST_F(SimNetTest, ACutInOneDirectionLosesTheLineAndStillCarriesTheOther) {
  net_.SetPath(kServer, kCaller, {.up = false});
  Call(10s);
  world_.RunFor(1s);
  EXPECT_EQ(handled_, 1);  // It took effect; the answer can not come back.
  EXPECT_EQ(results_[0], std::nullopt);
  world_.RunFor(4s);
  EXPECT_EQ(results_[0], "LINK_LOST");
  EXPECT_FALSE(link_->Connected());
  net_.HealAll();
  world_.RunFor(1100ms);
  EXPECT_TRUE(link_->Connected());
}

TEST_F(SimNetTest, APausedPeerHandlesItAllWhenItGoesOn) {
  server_loop_->Pause();
  server_->NotePause();
  Call(500ms);
  world_.RunFor(1s);
  EXPECT_EQ(results_[0], "DEADLINE_EXCEEDED");
  server_loop_->Resume();
  server_->NoteResume();
  world_.RunFor(10ms);
  EXPECT_EQ(handled_, 1);
  EXPECT_LT(deadline_left_, 0ms);
  EXPECT_EQ(done_, 1);
}

TEST_F(SimNetTest, AnAddressTakenByAnotherIsNotReached) {
  std::unique_ptr<Link> line = caller_->Open("b:1", NodeId(99));
  world_.RunFor(5s);
  EXPECT_FALSE(line->Connected());
}

TEST_F(SimNetTest, WithoutReorderingMessagesKeepTheirOrder) {
  std::vector<uint64_t> order;
  server_loop_->Kill();
  server_.reset();
  server_loop_ = world_.NewLoop(kServer);
  server_ = net_.Attach(server_loop_, "b:1");
  server_->Serve([&](PeerContext, PeerRequest request, PeerDone done) {
    order.push_back(std::get<ReadRequest>(request).whole_up_to_bytes);
    done(PeerReply(ReadReply{}));
  });
  world_.RunFor(2s);
  auto send = [&] {
    order.clear();
    for (uint64_t i = 0; i < 200; ++i) {
      link_->Call(ReadRequest{.whole_up_to_bytes = i}, caller_loop_->Now() + 5s, LayoutVersion(1),
                  [](PeerResult) {});
      world_.RunFor(20us);
    }
    world_.RunFor(1s);
    return std::is_sorted(order.begin(), order.end()) && order.size() == 200;
  };
  EXPECT_TRUE(send());
  net_.SetPath(kCaller, kServer, {.reorder = 0.2});
  EXPECT_FALSE(send());
  EXPECT_EQ(order.size(), 200u);
}

TEST_F(SimNetTest, AHandlerThatForgetsToAnswerIsNoticed) {
  server_loop_->Kill();
  server_.reset();
  server_loop_ = world_.NewLoop(kServer);
  server_ = net_.Attach(server_loop_, "b:1");
  server_->Serve([](PeerContext, PeerRequest, PeerDone) {});
  world_.RunFor(2s);
  EXPECT_EQ(net_.stats().unanswered, 0u);
  Call(1s);
  world_.RunFor(2s);
  EXPECT_EQ(net_.stats().unanswered, 1u);
}

}  // namespace
}  // namespace annulus::sim
