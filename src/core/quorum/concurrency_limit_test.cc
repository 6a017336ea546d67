#include "core/quorum/concurrency_limit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <vector>

namespace annulus {
namespace {

// A server that takes so long for each operation, and serves so many a second, one after the other.
// Operations arrive evenly at a rate; those over the limit are refused.
class Server {
 public:
  Server(ConcurrencyLimit* limit, Duration distance, double capacity)
      : limit_(limit), distance_(distance) {
    SetCapacity(capacity);
  }

  void SetCapacity(double capacity) { each_ = FromSeconds(1 / capacity); }

  void Offer(double rate, Duration during) {
    const Duration step = FromSeconds(1 / rate);
    for (const Instant until = now_ + during; now_ < until; now_ += step) {
      End();
      if (under_way_.size() >= limit_->limit()) {
        ++refused;
        continue;
      }
      free_at_ = std::max(free_at_, now_) + each_;
      under_way_.push_back({now_, free_at_ + distance_});
      limit_->Began(under_way_.size(), now_);
    }
  }
  // What the next operation would wait for.
  Duration queue() const { return std::max(free_at_ - now_, Duration(0)); }

  uint64_t served = 0;
  uint64_t refused = 0;

 private:
  struct Operation {
    Instant began, ends;
  };

  void End() {
    while (!under_way_.empty() && under_way_.front().ends <= now_) {
      ++served;
      const Operation& first = under_way_.front();
      limit_->Served(under_way_.size(), first.ends - first.began, first.ends);
      under_way_.pop_front();
    }
  }

  ConcurrencyLimit* limit_;
  Duration distance_, each_;
  Instant now_{}, free_at_{};
  std::deque<Operation> under_way_;
};

constexpr ConcurrencyLimit::Options kOptions{.least = 16, .at_first = 1024};

TEST(ConcurrencyLimit, LetsAllInWhileNothingWaits) {
  ConcurrencyLimit limit(kOptions);
  Server server(&limit, 5ms, 5000);
  server.Offer(4500, 20s);
  EXPECT_EQ(server.refused, 0u);
  EXPECT_EQ(limit.limit(), 1024u);
}

TEST(ConcurrencyLimit, AnOverloadLeavesAShortQueueAndTheWholeThroughput) {
  ConcurrencyLimit limit(kOptions);
  Server server(&limit, 5ms, 5000);
  server.Offer(15'000, 2s);
  for (int i = 0; i < 50; ++i) {
    server.Offer(15'000, 200ms);
    EXPECT_GT(server.queue(), 10ms);
    EXPECT_LT(server.queue(), 250ms);
  }
  EXPECT_GT(server.served, 12 * 4900u);
  // And nothing of it is left when it ends.
  server.Offer(4000, 1s);
  const uint64_t refused = server.refused;
  server.Offer(4000, 10s);
  EXPECT_EQ(server.refused, refused);
}

TEST(ConcurrencyLimit, FollowsACapacityThatShrinksAndComesBack) {
  ConcurrencyLimit limit(kOptions);
  Server server(&limit, 1ms, 20'000);
  server.Offer(30'000, 5s);
  const size_t much = limit.limit();
  EXPECT_GT(much, 1000u);
  server.SetCapacity(1000);
  server.Offer(30'000, 10s);
  EXPECT_LT(limit.limit(), 250u);
  server.SetCapacity(20'000);
  server.Offer(30'000, 10s);
  EXPECT_GT(limit.limit(), much * 3 / 4);
}

TEST(ConcurrencyLimit, NeverGoesBelowItsLeast) {
  ConcurrencyLimit limit(kOptions);
  Server server(&limit, 0ms, 15);
  server.Offer(1000, 200s);
  EXPECT_EQ(limit.limit(), 16u);
}

TEST(ConcurrencyLimit, WhatNeverEndsIsAQueueToo) {
  ConcurrencyLimit limit(kOptions);
  Instant now{};
  for (size_t i = 0; i < 1000; ++i) limit.Began(i + 1, now);
  limit.Began(1001, now += 999ms);
  EXPECT_EQ(limit.limit(), 1024u);
  limit.Began(1002, now += 1ms);
  EXPECT_LE(limit.limit(), 501u);
}

TEST(ConcurrencyLimit, AnIdleTimeIsNoQueue) {
  ConcurrencyLimit limit(kOptions);
  Instant now{};
  for (int i = 0; i < 100; ++i) {
    limit.Began(1, now);
    limit.Served(1, 1ms, now + 1ms);
    now += 10s;
  }
  EXPECT_EQ(limit.limit(), 1024u);
}

TEST(ConcurrencyLimit, SomeThatAreSlowAreNoQueue) {
  ConcurrencyLimit limit(kOptions);
  Instant now{};
  for (int i = 0; i < 10'000; ++i) {
    limit.Began(900, now);
    limit.Served(900, i % 10 == 0 ? 3ms : 2s, now);
    now += 1ms;
  }
  EXPECT_GE(limit.limit(), 1024u);
}

TEST(ConcurrencyLimit, AClusterThatIsFarAwayIsNoOverload) {
  ConcurrencyLimit limit(kOptions);
  Server server(&limit, 300ms, 20'000);
  server.Offer(30, 20s);
  EXPECT_NEAR(ToSeconds(limit.delay_max()), 0.6, 0.001);
  server.Offer(3000, 10s);
  EXPECT_EQ(server.refused, 0u);
  // Under load from the start it is found out as well.
  ConcurrencyLimit other(kOptions);
  Server busy(&other, 300ms, 20'000);
  busy.Offer(3000, 30s);
  const uint64_t refused = busy.refused;
  busy.Offer(3000, 10s);
  EXPECT_EQ(busy.refused, refused);
}

}  // namespace
}  // namespace annulus
