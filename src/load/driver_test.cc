#include "load/driver.h"

#include <deque>
#include <map>

#include "gtest/gtest.h"
#include "task/manual_loop.h"

namespace annulus::load {
namespace {

// Answers when it is told to.
class FakeTarget : public Target {
 public:
  void Read(uint64_t key, Done done) override { Add(Kind::kRead, key, std::move(done)); }
  void Write(uint64_t key, Done done) override { Add(Kind::kUpdate, key, std::move(done)); }
  void Scan(uint64_t key, Done done) override { Add(Kind::kScan, key, std::move(done)); }

  size_t under_way() const { return waiting_.size(); }
  void AnswerOne(absl::Status status = absl::OkStatus()) {
    Done done = std::move(waiting_.front());
    waiting_.pop_front();
    done(std::move(status));
  }
  void AnswerAll() {
    for (size_t left = waiting_.size(); left > 0; --left) AnswerOne();
  }

  std::map<Kind, int> begun;
  std::map<uint64_t, int> writes;

 private:
  void Add(Kind kind, uint64_t key, Done done) {
    ++begun[kind];
    if (kind == Kind::kUpdate) ++writes[key];
    waiting_.push_back(std::move(done));
  }
  std::deque<Done> waiting_;
};

class DriverTest : public testing::Test {
 protected:
  ManualLoop loop_;
  FakeTarget target_;
  Workload workload_{{.read = 1, .update = 0}, Choice::kUniform, 100, 1};
  bool done_ = false;
};

TEST_F(DriverTest, AClosedLoopKeepsEachClientBusyUntilTheTimeIsOver) {
  Driver driver(&loop_, &target_, &workload_, {.clients = 4});
  driver.Run(1s, [this] { done_ = true; });
  EXPECT_EQ(target_.under_way(), 4u);
  loop_.Advance(500ms);
  target_.AnswerOne();
  target_.AnswerOne();
  EXPECT_EQ(target_.under_way(), 4u);
  EXPECT_EQ(driver.Take().ok, 2u);
  loop_.Advance(500ms);
  EXPECT_FALSE(done_);
  target_.AnswerAll();
  EXPECT_TRUE(done_);
  EXPECT_EQ(target_.begun[Kind::kRead], 6);
  EXPECT_EQ(driver.Take().ok, 4u);
}

TEST_F(DriverTest, AnOpenLoopCountsFromWhenAnOperationWasDue) {
  Driver driver(&loop_, &target_, &workload_, {.rate = 10, .clients = 1});
  driver.Run(1s, [this] { done_ = true; });
  EXPECT_EQ(target_.under_way(), 1u);
  loop_.Advance(950ms);  // Nine more are due, and the one client is busy.
  EXPECT_EQ(target_.under_way(), 1u);
  while (target_.under_way() > 0) target_.AnswerAll();
  EXPECT_TRUE(done_);
  const Window window = driver.Take();
  EXPECT_EQ(window.ok, 10u);
  EXPECT_GE(window.latency.max(), 950'000u);
  EXPECT_NEAR(window.latency.Quantile(0.5), 500'000, 60'000);
}

TEST_F(DriverTest, AClientGoesOnWhenItsWholeGroupHasEnded) {
  Driver driver(&loop_, &target_, &workload_, {.clients = 2, .group = 3});
  driver.Run(1s, [this] { done_ = true; });
  EXPECT_EQ(target_.under_way(), 6u);
  target_.AnswerOne();
  target_.AnswerOne();
  EXPECT_EQ(target_.under_way(), 4u);
  target_.AnswerOne();
  EXPECT_EQ(target_.under_way(), 6u);
  loop_.Advance(1s);
  target_.AnswerAll();
  EXPECT_TRUE(done_);
}

TEST_F(DriverTest, FillsEveryKeyOnce) {
  Driver driver(&loop_, &target_, &workload_, {.clients = 4, .group = 3});
  driver.Fill(100, [this] { done_ = true; });
  while (target_.under_way() > 0) target_.AnswerOne();
  EXPECT_TRUE(done_);
  EXPECT_EQ(target_.writes.size(), 100u);
  EXPECT_EQ(target_.begun[Kind::kUpdate], 100);
}

TEST_F(DriverTest, AFillTriesAgainWhatIsRefused) {
  Driver driver(&loop_, &target_, &workload_, {.clients = 1});
  driver.Fill(1, [this] { done_ = true; });
  target_.AnswerOne(absl::ResourceExhaustedError("too much to do"));
  EXPECT_EQ(target_.under_way(), 0u);
  loop_.Advance(1s);
  target_.AnswerOne();
  EXPECT_TRUE(done_);
  EXPECT_EQ(target_.writes[0], 2);
  EXPECT_EQ(driver.Take().failed, 0u);
}

TEST_F(DriverTest, AFillGivesUpAfterAWhile) {
  Driver driver(&loop_, &target_, &workload_, {.clients = 1});
  driver.Fill(1, [this] { done_ = true; });
  for (int second = 0; second < 70 && !done_; ++second) {
    target_.AnswerOne(absl::ResourceExhaustedError("too much to do"));
    loop_.Advance(1s);
  }
  EXPECT_TRUE(done_);
  EXPECT_EQ(driver.Take().failed, 1u);
}

TEST_F(DriverTest, AModifyReadsAndThenWritesTheSameKey) {
  Workload workload({.read = 0, .update = 0, .modify = 1}, Choice::kUniform, 1, 1);
  Driver driver(&loop_, &target_, &workload, {.clients = 1});
  driver.Run(1s, [this] { done_ = true; });
  EXPECT_EQ(target_.begun[Kind::kRead], 1);
  loop_.Advance(1s);
  target_.AnswerOne();
  EXPECT_EQ(target_.writes[0], 1);
  target_.AnswerOne();
  EXPECT_TRUE(done_);
  EXPECT_EQ(driver.Take().latency_of[static_cast<size_t>(Kind::kModify)].count(), 1u);
}

TEST_F(DriverTest, CountsFailuresByWhatTheySay) {
  Driver driver(&loop_, &target_, &workload_, {.clients = 1});
  driver.Run(1s, [this] { done_ = true; });
  target_.AnswerOne(absl::UnavailableError("no"));
  driver.Stop();
  target_.AnswerOne();
  EXPECT_TRUE(done_);
  const Window window = driver.Take();
  EXPECT_EQ(window.failed, 1u);
  EXPECT_EQ(window.ok, 1u);
  ASSERT_EQ(window.failures.size(), 1u);
  EXPECT_EQ(window.failures.begin()->second, 1u);
  EXPECT_EQ(window.failures.begin()->first.substr(0, 11), "UNAVAILABLE");
}

}  // namespace
}  // namespace annulus::load
