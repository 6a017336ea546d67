#include "adapters/grpc/grpc_transport.h"

#include <gtest/gtest.h>

#include <future>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "adapters/grpc/server.h"
#include "adapters/grpc/stalling_proxy.h"
#include "adapters/loop/test_loop.h"
#include "core/error.h"

namespace annulus {
namespace {

using Handler = Transport::Handler;

// Answers each read with the key it asked for.
void Echo(PeerContext, PeerRequest request, PeerDone done) {
  done(PeerReply(ReadReply{.found = true, .record = std::get<ReadRequest>(request).item.key}));
}

// One process of the cluster: a loop on its own thread, a transport and a peer port on loopback.
class Peer {
 public:
  Peer(uint64_t id, TransportOptions options = {}) : id_(id), options_(std::move(options)) {
    if (options_.cluster.empty()) options_.cluster = "test";
    loop_.On([this] {
      transport_ = std::make_unique<GrpcTransport>(
          loop_.get(), options_, [this](std::string_view event, std::string_view detail) {
            events_.push_back(absl::StrCat(std::string(event), " ", std::string(detail)));
          });
      transport_->SetIdentity(NodeId(id_), Incarnation(id_ * 10));
    });
  }
  ~Peer() { Die(); }

  // Port 0: any.
  void Listen(int port, Handler handler) {
    loop_.On([&] {
      auto server =
          GrpcServer::Start(loop_.get(), PeerServerOptions(Address(port)), {transport_->service()});
      ASSERT_TRUE(server.ok()) << server.status();
      server_ = *std::move(server);
      transport_->Serve(std::move(handler));
      transport_->ServerStarted();
    });
  }

  // It is another node from now on.
  void Become(uint64_t id) {
    loop_.On([&] { transport_->SetIdentity(NodeId(id), Incarnation(id_ * 10)); });
  }

  Link* Dial(int port, uint64_t expected = 0) {
    loop_.On([&] { link_ = transport_->Open(Address(port), NodeId(expected)); });
    return link_.get();
  }
  void HangUp() {
    loop_.On([&] { link_.reset(); });
  }
  // Calls with a deadline that has passed, and hangs up in the same turn.
  std::future<PeerResult> CallLateAndHangUp() {
    auto promise = std::make_shared<std::promise<PeerResult>>();
    loop_.On([&] {
      link_->Call(ReadRequest{.item = {"b", "k", ""}}, loop_->Now() - 1ms, LayoutVersion(1),
                  [promise](PeerResult result) { promise->set_value(std::move(result)); });
      link_.reset();
    });
    return promise->get_future();
  }
  // Calls twice in a turn; whichever ends first hangs up. How many ended is in `ended`.
  void CallTwiceAndHangUpInTheFirst(int* ended) {
    loop_.On([&] {
      for (int i = 0; i < 2; ++i) {
        link_->Call(ReadRequest{.item = {"b", "held", ""}}, loop_->Now() + 5s, LayoutVersion(1),
                    [this, ended](PeerResult) {
                      ++*ended;
                      link_.reset();
                    });
      }
    });
  }
  void Redial(int port) {
    loop_.On([&] { link_->Redial(Address(port)); });
  }
  bool Connected() {
    return loop_.On([&] { return link_->Connected(); });
  }

  std::future<PeerResult> Call(std::string key, Duration timeout = 5s,
                               LayoutVersion version = LayoutVersion(1)) {
    auto promise = std::make_shared<std::promise<PeerResult>>();
    loop_->Post([=, this] {
      link_->Call(ReadRequest{.item = {"b", key, ""}}, loop_->Now() + timeout, version,
                  [promise](PeerResult result) { promise->set_value(std::move(result)); });
    });
    return promise->get_future();
  }
  // All in one turn.
  std::vector<std::future<PeerResult>> CallMany(int count, size_t bytes, Duration timeout = 5s) {
    std::vector<std::future<PeerResult>> results;
    loop_.On([&] {
      for (int i = 0; i < count; ++i) {
        auto promise = std::make_shared<std::promise<PeerResult>>();
        results.push_back(promise->get_future());
        link_->Call(ReadRequest{.item = {"b", Bytes(bytes, 'k'), ""}}, loop_->Now() + timeout,
                    LayoutVersion(1),
                    [promise](PeerResult result) { promise->set_value(std::move(result)); });
      }
    });
    return results;
  }

  // As a process ends: nothing says goodbye to anyone.
  void Die() {
    if (transport_ == nullptr) return;
    std::promise<void> ended;
    loop_.On([&] {
      link_.reset();
      transport_->StopServing();
      if (server_ != nullptr) {
        server_->Shutdown(0s, [&] { ended.set_value(); });
      } else {
        ended.set_value();
      }
    });
    ended.get_future().get();
    EXPECT_TRUE(
        Eventually([&] { return loop_.On([&] { return transport_->client_streams() == 0; }); }));
    server_.reset();
    loop_.End();
    transport_.reset();
  }

  int port() const { return server_->port(); }
  TestLoop& loop() { return loop_; }
  std::vector<std::string> events() {
    return loop_.On([&] { return events_; });
  }
  bool HasEvent(const std::string& part) {
    for (const std::string& event : events()) {
      if (event.find(part) != std::string::npos) return true;
    }
    return false;
  }

 private:
  static std::string Address(int port) { return absl::StrCat("127.0.0.1:", port); }

  const uint64_t id_;
  TransportOptions options_;
  TestLoop loop_;
  std::unique_ptr<GrpcTransport> transport_;
  std::unique_ptr<GrpcServer> server_;
  std::unique_ptr<Link> link_;
  std::vector<std::string> events_;
};

std::string ReasonOf(const PeerResult& result) { return DetailsOf(result.status()).reason; }

TEST(GrpcTransport, CarriesRequestsAndReplies) {
  std::promise<PeerContext> seen;
  Peer server(2);
  Peer client(1);
  server.Listen(0, [&, first = true](PeerContext from, PeerRequest request, PeerDone done) mutable {
    if (std::exchange(first, false)) seen.set_value(from);
    Echo(from, std::move(request), std::move(done));
  });
  client.Dial(server.port(), 2);
  // Called while the first dial is under way: it waits for the connection.
  PeerResult result = client.Call("hello", 5s, LayoutVersion(7)).get();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(std::get<ReadReply>(*result).record, "hello");
  EXPECT_TRUE(client.Connected());

  const PeerContext context = seen.get_future().get();
  EXPECT_EQ(context.from, NodeId(1));
  EXPECT_EQ(context.version, LayoutVersion(7));
  const Instant now = client.loop()->Now();  // One machine, one clock.
  EXPECT_LT(context.deadline, now + 5s);
  EXPECT_GT(context.deadline, now + 1s);
  EXPECT_TRUE(client.HasEvent("link_up"));
}

TEST(GrpcTransport, CarriesErrorsOfThePeer) {
  Peer server(2);
  Peer client(1);
  server.Listen(0, [](PeerContext, PeerRequest, PeerDone done) {
    done(WithDetails(absl::FailedPreconditionError("not mine"), {.reason = "STALE_LAYOUT"}));
  });
  client.Dial(server.port());
  const PeerResult result = client.Call("k").get();
  EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(result), "STALE_LAYOUT");
}

TEST(GrpcTransport, AnswersInTheOrderInWhichTheyComeNotInThatOfTheRequests) {
  PeerDone first;
  Peer server(2);
  Peer client(1);
  server.Listen(0, [&](PeerContext from, PeerRequest request, PeerDone done) {
    if (std::get<ReadRequest>(request).item.key == "first") {
      first = std::move(done);
      return;
    }
    Echo(from, std::move(request), std::move(done));
  });
  client.Dial(server.port());
  auto slow = client.Call("first");
  EXPECT_TRUE(client.Call("second").get().ok());
  server.loop().On([&] { first(PeerReply(ReadReply{.record = "late"})); });
  EXPECT_EQ(std::get<ReadReply>(*slow.get()).record, "late");
}

TEST(GrpcTransport, CarriesManyAndLargeMessages) {
  Peer server(2);
  Peer client(1);
  server.Listen(0, Echo);
  client.Dial(server.port());
  ASSERT_TRUE(client.Call("up").get().ok());
  // Some 20 MB in frames of about 1 MiB, both ways.
  for (auto& result : client.CallMany(200, 100'000)) {
    PeerResult got = result.get();
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(std::get<ReadReply>(*got).record->size(), 100'000u);
  }
  for (auto& result : client.CallMany(5000, 10)) ASSERT_TRUE(result.get().ok());
  // Larger than a frame, within the limit of a message.
  PeerResult large = client.CallMany(1, 5 << 20)[0].get();
  ASSERT_TRUE(large.ok()) << large.status();
  EXPECT_EQ(std::get<ReadReply>(*large).record->size(), 5u << 20);
}

TEST(GrpcTransport, SendsWhatIsCalledInOneTurnInOneFrame) {
  std::map<uint64_t, int> by_turn;  // Requests seen in one turn of the server.
  Peer server(2);
  Peer client(1);
  server.Listen(0, [&](PeerContext from, PeerRequest request, PeerDone done) {
    ++by_turn[server.loop()->turns()];
    Echo(from, std::move(request), std::move(done));
  });
  client.Dial(server.port());
  ASSERT_TRUE(client.Call("up").get().ok());
  for (auto& result : client.CallMany(100, 10)) ASSERT_TRUE(result.get().ok());
  server.loop().On([&] {
    EXPECT_EQ(by_turn.size(), 2u);
    EXPECT_EQ(by_turn.rbegin()->second, 100);
  });
}

TEST(GrpcTransport, EndsACallAtItsDeadlineAndDropsTheLateReply) {
  std::vector<PeerDone> held;
  Peer server(2);
  Peer client(1);
  server.Listen(0, [&](PeerContext from, PeerRequest request, PeerDone done) {
    if (std::get<ReadRequest>(request).item.key == "slow") {
      held.push_back(std::move(done));
    } else {
      Echo(from, std::move(request), std::move(done));
    }
  });
  client.Dial(server.port());
  ASSERT_TRUE(client.Call("up").get().ok());
  const PeerResult result = client.Call("slow", 30ms).get();
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
  server.loop().On([&] { held[0](PeerReply(ReadReply{})); });
  EXPECT_TRUE(client.Call("after").get().ok());
  EXPECT_EQ(client.Call("past", -1ms).get().status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(GrpcTransport, FailsWhatWasSentAndWhatWasNotWhenThePeerDiesAndReachesItAgain) {
  std::vector<PeerDone> held;
  Peer client(1);
  auto server = std::make_unique<Peer>(2);
  server->Listen(0, [&](PeerContext from, PeerRequest request, PeerDone done) {
    if (std::get<ReadRequest>(request).item.key == "held") {
      held.push_back(std::move(done));
    } else {
      Echo(from, std::move(request), std::move(done));
    }
  });
  const int port = server->port();
  client.Dial(port, 2);
  ASSERT_TRUE(client.Call("up").get().ok());
  auto sent = client.Call("held");
  ASSERT_TRUE(client.Call("behind it").get().ok());
  server->Die();
  const PeerResult lost = sent.get();
  EXPECT_EQ(lost.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(lost), kReasonLinkLost);
  held.clear();

  ASSERT_TRUE(Eventually([&] { return client.HasEvent("link_lost"); }));
  const PeerResult unsent = client.Call("nobody").get();
  EXPECT_EQ(unsent.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(unsent), kReasonNotSent);
  EXPECT_FALSE(client.Connected());

  server = std::make_unique<Peer>(2);
  server->Listen(port, Echo);
  const Instant listening = client.loop()->Now();
  ASSERT_TRUE(Eventually([&] { return client.Connected(); }));
  EXPECT_LT(client.loop()->Now() - listening, 2s);
  EXPECT_TRUE(client.Call("again").get().ok());
}

TEST(GrpcTransport, FindsAConnectionThatOnlySeemsToStandWithinFiveSeconds) {
  Peer server(2);
  server.Listen(0, Echo);
  StallingProxy proxy(server.port());
  Peer client(1);
  client.Dial(proxy.port(), 2);
  ASSERT_TRUE(client.Call("up").get().ok());

  proxy.Stall(true);
  const Instant stalled = client.loop()->Now();
  auto unanswered = client.Call("silence", 20s);
  const PeerResult lost = unanswered.get();
  EXPECT_EQ(ReasonOf(lost), kReasonLinkLost);
  EXPECT_LT(client.loop()->Now() - stalled, 5s);
  EXPECT_FALSE(client.Connected());

  proxy.Stall(false);
  const Instant healed = client.loop()->Now();
  EXPECT_TRUE(Eventually([&] { return client.Connected(); }));
  EXPECT_LT(client.loop()->Now() - healed, 2s);
}

TEST(GrpcTransport, ReachesAPeerThatStartsLater) {
  Peer client(1);
  int port = 0;
  {
    Peer placeholder(9);
    placeholder.Listen(0, Echo);
    port = placeholder.port();
  }
  client.Dial(port);
  ASSERT_TRUE(Eventually([&] { return client.HasEvent("link_down"); }));
  EXPECT_EQ(ReasonOf(client.Call("early").get()), kReasonNotSent);
  Peer server(2);
  server.Listen(port, Echo);
  EXPECT_TRUE(Eventually([&] { return client.Connected(); }, 2s));
}

TEST(GrpcTransport, RefusesAnotherNodeThanTheExpectedOne) {
  Peer server(2);
  Peer client(1);
  server.Listen(0, Echo);
  client.Dial(server.port(), 3);
  const PeerResult result = client.Call("k").get();
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(result), kReasonNotSent);
  EXPECT_NE(std::string(result.status().message()).find("this is node 0000000000000002"),
            std::string::npos)
      << result.status();
  EXPECT_FALSE(client.Connected());
  EXPECT_TRUE(client.HasEvent("link_refused"));
  EXPECT_TRUE(server.HasEvent("stream_refused"));
}

TEST(GrpcTransport, IsWhoItSaysItIsNow) {
  Peer server(2);
  Peer client(1);
  server.Listen(0, Echo);
  const int port = server.port();
  client.Dial(port, /*expected=*/3);
  EXPECT_FALSE(Eventually([&] { return client.Connected(); }, 300ms));
  server.Become(3);
  client.Redial(port);
  EXPECT_TRUE(Eventually([&] { return client.Connected(); }));
  server.Become(0);
  client.Redial(port);
  EXPECT_FALSE(Eventually([&] { return client.Connected(); }, 300ms));
}

TEST(GrpcTransport, RefusesAnotherCluster) {
  Peer server(2, {.cluster = "red"});
  Peer client(1, {.cluster = "blue"});
  server.Listen(0, Echo);
  client.Dial(server.port());
  const PeerResult result = client.Call("k").get();
  EXPECT_EQ(ReasonOf(result), kReasonNotSent);
  EXPECT_NE(std::string(result.status().message()).find("\"red\""), std::string::npos)
      << result.status();
}

TEST(GrpcTransport, CapsWhatIsUnderWay) {
  std::vector<PeerDone> held;
  Peer server(2);
  Peer client(1, {.cluster = "test", .calls_max = 10, .call_bytes_max = 100'000});
  server.Listen(0,
                [&](PeerContext, PeerRequest, PeerDone done) { held.push_back(std::move(done)); });
  client.Dial(server.port());
  auto under_way = client.CallMany(10, 10);
  const PeerResult over = client.Call("one more").get();
  EXPECT_EQ(over.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(over), kReasonNotSent);
  EXPECT_EQ(DetailsOf(over.status()).retry_after, 100ms);
  ASSERT_TRUE(Eventually([&] { return server.loop().On([&] { return held.size() == 10; }); }));
  server.loop().On([&] {
    for (PeerDone& done : std::exchange(held, {})) done(PeerReply(ReadReply{}));
  });
  for (auto& result : under_way) EXPECT_TRUE(result.get().ok());

  // Alone, a call larger than the cap goes; a second one does not.
  auto large = client.CallMany(2, 200'000);
  EXPECT_EQ(ReasonOf(large[1].get()), kReasonNotSent);
  ASSERT_TRUE(Eventually([&] { return server.loop().On([&] { return held.size() == 1; }); }));
  server.loop().On([&] {
    for (PeerDone& done : std::exchange(held, {})) done(PeerReply(ReadReply{}));
  });
  EXPECT_TRUE(large[0].get().ok());
}

TEST(GrpcTransport, RedialsAtOnceAtTheNewAddress) {
  std::vector<PeerDone> held;
  Peer before(2);
  Peer after(2);
  Peer client(1, {.cluster = "test", .dial_interval = 3600s});
  before.Listen(0,
                [&](PeerContext, PeerRequest, PeerDone done) { held.push_back(std::move(done)); });
  after.Listen(0, Echo);
  client.Dial(before.port(), 2);
  auto lost = client.Call("held");
  ASSERT_TRUE(Eventually([&] { return before.loop().On([&] { return held.size() == 1; }); }));
  client.Redial(after.port());
  EXPECT_EQ(ReasonOf(lost.get()), kReasonLinkLost);
  ASSERT_TRUE(client.Call("k").get().ok());
  // Also where it waits for its next dial.
  after.Die();
  ASSERT_TRUE(Eventually([&] { return !client.Connected(); }));
  client.Redial(before.port());
  ASSERT_TRUE(Eventually([&] { return client.Connected(); }));
  before.loop().On([&] { held.clear(); });
}

TEST(GrpcTransport, StopsReadingAPeerThatHasTooMuchUnderWay) {
  std::vector<PeerDone> held;
  size_t held_max = 0;
  bool hold = true;
  Peer server(2, {.cluster = "test", .requests_max = 16});
  Peer client(1, {.cluster = "test", .frame_bytes_max = 1000});
  server.Listen(0, [&](PeerContext from, PeerRequest request, PeerDone done) {
    if (!hold) return Echo(from, std::move(request), std::move(done));
    held.push_back(std::move(done));
    held_max = std::max(held_max, held.size());
  });
  client.Dial(server.port());
  auto results = client.CallMany(1000, 100);
  ASSERT_TRUE(Eventually([&] { return server.loop().On([&] { return held.size() >= 16; }); }));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  server.loop().On([&] {
    EXPECT_LT(held_max, 32u);  // The frame that crossed the bound was taken whole.
    hold = false;
    for (PeerDone& done : std::exchange(held, {})) done(PeerReply(ReadReply{}));
  });
  for (auto& result : results) {
    const PeerResult got = result.get();
    ASSERT_TRUE(got.ok()) << got.status();
  }
}

TEST(GrpcTransport, DropsCallsUnderWayWhenTheLinkIsClosed) {
  std::vector<PeerDone> held;
  Peer server(2);
  Peer client(1);
  server.Listen(0,
                [&](PeerContext, PeerRequest, PeerDone done) { held.push_back(std::move(done)); });
  client.Dial(server.port());
  auto result = client.Call("k");
  ASSERT_TRUE(Eventually([&] { return server.loop().On([&] { return held.size() == 1; }); }));
  client.HangUp();
  EXPECT_THROW(result.get(), std::future_error);  // The callback was destroyed unrun.
  server.loop().On([&] { held[0](PeerReply(ReadReply{})); });
}

TEST(GrpcTransport, LosesAPeerThatRepliesWithAnotherKind) {
  Peer server(2);
  Peer client(1);
  server.Listen(0, [](PeerContext from, PeerRequest request, PeerDone done) {
    if (std::get<ReadRequest>(request).item.key == "bad") {
      done(PeerReply(PingReply{}));
    } else {
      Echo(from, std::move(request), std::move(done));
    }
  });
  client.Dial(server.port());
  ASSERT_TRUE(client.Call("up").get().ok());
  const PeerResult result = client.Call("bad").get();
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(result), kReasonLinkLost);
  EXPECT_TRUE(client.HasEvent("link_lost"));
  ASSERT_TRUE(Eventually([&] { return client.Connected(); }));
  EXPECT_TRUE(client.Call("again").get().ok());
}

TEST(GrpcTransport, DropsARefusedCallWhenTheLinkIsClosed) {
  Peer client(1);
  client.Dial(1);
  auto result = client.CallLateAndHangUp();
  client.loop().On([] {});  // The turn in which the refusal would run is over.
  EXPECT_THROW(result.get(), std::future_error);  // The callback was destroyed unrun.
}

TEST(GrpcTransport, DropsTheOtherCallsOfALostLinkWhenTheFirstClosesIt) {
  std::vector<PeerDone> held;
  int ended = 0;
  Peer client(1);
  Peer server(2);
  server.Listen(0,
                [&](PeerContext, PeerRequest, PeerDone done) { held.push_back(std::move(done)); });
  client.Dial(server.port());
  client.CallTwiceAndHangUpInTheFirst(&ended);
  ASSERT_TRUE(Eventually([&] { return server.loop().On([&] { return held.size() == 2; }); }));
  server.Die();
  ASSERT_TRUE(Eventually([&] { return client.loop().On([&] { return ended > 0; }); }));
  EXPECT_EQ(client.loop().On([&] { return ended; }), 1);
}

TEST(GrpcTransport, RefusesMessagesThatAreTooLargeAndKeepsTheStream) {
  Peer server(2);
  Peer client(1);
  server.Listen(0, [](PeerContext from, PeerRequest request, PeerDone done) {
    if (std::get<ReadRequest>(request).item.key != "much") {
      return Echo(from, std::move(request), std::move(done));
    }
    done(PeerReply(ReadReply{.record = Bytes(65 << 20, 'r')}));
  });
  client.Dial(server.port());
  const PeerResult request = client.CallMany(1, 65 << 20)[0].get();
  EXPECT_EQ(request.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(request), kReasonNotSent);
  const PeerResult reply = client.Call("much").get();
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kResourceExhausted) << reply.status();
  EXPECT_TRUE(client.Call("k").get().ok());
  EXPECT_FALSE(client.HasEvent("link_lost"));
}

}  // namespace
}  // namespace annulus
