#include "adapters/http/http_server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"

namespace annulus {
namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;

// Runs posted jobs on a thread; can be made to hang, as a stuck process does.
class ThreadLoop final : public Loop {
 public:
  ThreadLoop() : thread_([this] { Run(); }) {}
  ~ThreadLoop() override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      ended_ = true;
      hangs_ = false;
    }
    wake_.notify_all();
    thread_.join();
  }
  void Hang(bool hangs) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      hangs_ = hangs;
    }
    wake_.notify_all();
  }

  Instant Now() const override { return Instant(); }
  void Post(Job job) override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      jobs_.push_back(std::move(job));
    }
    wake_.notify_all();
  }
  TimerId PostAt(Instant, Job) override { return 1; }
  void Cancel(TimerId) override {}
  void AtTurnEnd(Job) override {}

 private:
  void Run() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return ended_ || (!jobs_.empty() && !hangs_); });
      if (ended_) return;
      std::vector<Job> jobs = std::exchange(jobs_, {});
      lock.unlock();
      for (Job& job : jobs) job();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Job> jobs_;
  bool hangs_ = false;
  bool ended_ = false;
  std::thread thread_;
};

class HttpServerTest : public testing::Test {
 protected:
  void Start(HttpOptions options = {}) {
    options.address = "127.0.0.1:0";
    auto server = HttpServer::Start(&loop_, options,
                                    {.readiness =
                                         [this] {
                                           return Readiness{ready_, "no layout yet"};
                                         },
                                     .metrics = [] { return std::string("annulus_up 1\n"); }});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  tcp::socket Connect() {
    tcp::socket socket(context_);
    socket.connect(
        {asio::ip::make_address("127.0.0.1"), static_cast<unsigned short>(server_->port())});
    return socket;
  }
  // Everything the server sends until it closes.
  static std::string Rest(tcp::socket* socket) {
    std::string text;
    boost::system::error_code error;
    asio::read(*socket, asio::dynamic_buffer(text), error);
    return text;
  }
  std::string Ask(const std::string& request) {
    tcp::socket socket = Connect();
    asio::write(socket, asio::buffer(request));
    return Rest(&socket);
  }
  std::string Get(const std::string& path, const std::string& method = "GET") {
    return Ask(
        absl::StrCat(method, " ", path, " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
  }
  static bool Has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  }

  std::atomic<bool> ready_{false};
  ThreadLoop loop_;
  std::unique_ptr<HttpServer> server_;
  asio::io_context context_;
};

TEST_F(HttpServerTest, SaysWhetherTheProcessLives) {
  Start({.loop_patience = 200ms});
  EXPECT_TRUE(Has(Get("/livez"), "HTTP/1.1 200"));
  loop_.Hang(true);
  const std::string stuck = Get("/livez");
  EXPECT_TRUE(Has(stuck, "HTTP/1.1 503")) << stuck;
  EXPECT_TRUE(Has(Get("/metrics"), "HTTP/1.1 200"));  // Needs no loop.
  loop_.Hang(false);
  EXPECT_TRUE(Has(Get("/livez"), "HTTP/1.1 200"));
}

TEST_F(HttpServerTest, SaysWhetherTheProcessIsReadyAndWhyNot) {
  Start();
  const std::string not_ready = Get("/readyz");
  EXPECT_TRUE(Has(not_ready, "HTTP/1.1 503")) << not_ready;
  EXPECT_TRUE(Has(not_ready, "no layout yet")) << not_ready;
  ready_ = true;
  EXPECT_TRUE(Has(Get("/readyz?verbose"), "HTTP/1.1 200"));
}

TEST_F(HttpServerTest, AnswersHeadWithoutABody) {
  Start();
  const std::string answer = Get("/metrics", "HEAD");
  EXPECT_TRUE(Has(answer, "Content-Length: 13")) << answer;
  EXPECT_FALSE(Has(answer, "annulus_up")) << answer;
  EXPECT_TRUE(Has(Get("/metrics"), "annulus_up 1"));
}

TEST_F(HttpServerTest, ServesSeveralRequestsOnOneConnection) {
  Start();
  const std::string one = "GET /livez HTTP/1.1\r\nHost: h\r\n\r\n";
  const std::string answer =
      Ask(one + one + "GET /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  size_t count = 0;
  for (size_t at = 0; (at = answer.find("HTTP/1.1 200", at)) != std::string::npos; ++at) ++count;
  EXPECT_EQ(count, 3u) << answer;
}

TEST_F(HttpServerTest, RefusesWhatItDoesNotServe) {
  Start();
  EXPECT_TRUE(Has(Get("/"), "HTTP/1.1 404"));
  EXPECT_TRUE(Has(Get("/livez", "DELETE"), "HTTP/1.1 405"));
  EXPECT_TRUE(Has(Ask("POST /livez HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"),
                  "HTTP/1.1 413"));
  EXPECT_TRUE(Has(Ask("GET /livez HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n"),
                  "HTTP/1.1 431"));
  EXPECT_EQ(Ask("nonsense\r\n\r\n"), "");
}

TEST_F(HttpServerTest, BoundsItsConnections) {
  Start({.connections_max = 2});
  tcp::socket first = Connect();
  tcp::socket second = Connect();
  tcp::socket third = Connect();
  EXPECT_EQ(Rest(&third), "");  // Closed at once.
  first.close();
  second.close();
  for (int i = 0; i < 100 && !Has(Get("/livez"), "HTTP/1.1 200"); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(Has(Get("/livez"), "HTTP/1.1 200"));
}

TEST_F(HttpServerTest, ClosesSilentConnections) {
  Start({.idle_timeout = 50ms});
  tcp::socket silent = Connect();
  EXPECT_EQ(Rest(&silent), "");
}

TEST_F(HttpServerTest, EndsWithOpenConnectionsAndProbes) {
  Start();
  loop_.Hang(true);
  tcp::socket idle = Connect();
  tcp::socket asking = Connect();
  asio::write(asking, asio::buffer(std::string("GET /livez HTTP/1.1\r\nHost: h\r\n\r\n")));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  server_.reset();
  loop_.Hang(false);  // The probe's job runs, and finds nobody.
  EXPECT_EQ(Rest(&idle), "");
}

TEST_F(HttpServerTest, APortInUseIsAnErrorThatNamesTheSetting) {
  Start();
  auto second = HttpServer::Start(
      &loop_, {.address = absl::StrCat("127.0.0.1:", server_->port())},
      {.readiness = [] { return Readiness{}; }, .metrics = [] { return std::string(); }});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  const std::string message(second.status().message());
  EXPECT_TRUE(Has(message, "Address already in use")) << message;
  EXPECT_TRUE(Has(message, "listen_http")) << message;
  EXPECT_EQ(HttpServer::Start(&loop_, {.address = "8080"}, {}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace annulus
