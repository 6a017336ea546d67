#include "adapters/grpc/server.h"

#include <gtest/gtest.h>

#include <future>
#include <string>

#include "absl/strings/str_cat.h"
#include "adapters/loop/test_loop.h"

namespace annulus {
namespace {

void ShutDown(TestLoop* loop, GrpcServer* server) {
  std::promise<void> ended;
  loop->On([&] { server->Shutdown(0s, [&] { ended.set_value(); }); });
  ended.get_future().get();
}

TEST(GrpcServer, APortInUseIsAnErrorThatNamesTheSetting) {
  TestLoop loop;
  auto first = GrpcServer::Start(loop.get(), PublicServerOptions("127.0.0.1:0"), {});
  ASSERT_TRUE(first.ok()) << first.status();
  const std::string address = absl::StrCat("127.0.0.1:", (*first)->port());
  auto second = GrpcServer::Start(loop.get(), PeerServerOptions(address), {});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  const std::string message(second.status().message());
  EXPECT_NE(message.find(address), std::string::npos) << message;
  EXPECT_NE(message.find("Address already in use"), std::string::npos) << message;
  EXPECT_NE(message.find("listen_peer"), std::string::npos) << message;
  ShutDown(&loop, first->get());
}

TEST(GrpcServer, AnAddressThatIsNoneIsAnError) {
  TestLoop loop;
  for (const char* address : {"", "50051", ":50051", "host:", "host:port", "host:70000"}) {
    auto server = GrpcServer::Start(loop.get(), PublicServerOptions(address), {});
    EXPECT_EQ(server.status().code(), absl::StatusCode::kInvalidArgument) << address;
  }
}

TEST(GrpcServer, ThePortIsFreeAfterTheShutdown) {
  TestLoop loop;
  auto server = GrpcServer::Start(loop.get(), PublicServerOptions("127.0.0.1:0"), {});
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string address = absl::StrCat("127.0.0.1:", (*server)->port());
  ShutDown(&loop, server->get());
  auto again = GrpcServer::Start(loop.get(), PublicServerOptions(address), {});
  ASSERT_TRUE(again.ok()) << again.status();
  ShutDown(&loop, again->get());
}

}  // namespace
}  // namespace annulus
