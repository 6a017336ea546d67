#include "adapters/loop/cq_loop.h"

#include <grpcpp/alarm.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "adapters/loop/test_loop.h"

namespace annulus {
namespace {

TEST(CqLoop, RunsPostedJobsInOrderFromItsOwnThread) {
  std::vector<int> order;
  std::promise<void> done;
  TestLoop loop;
  loop.On([&] {
    loop->Post([&] { order.push_back(1); });
    loop->Post([&] { order.push_back(2); });
    loop->Post([&] {
      order.push_back(3);
      loop->Post([&] { done.set_value(); });
    });
  });
  done.get_future().get();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST(CqLoop, RunsJobsPostedByManyThreads) {
  constexpr int kThreads = 4;
  constexpr int kJobs = 5000;
  int ran = 0;  // Touched on the loop only: TSan would see otherwise.
  TestLoop loop;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kJobs; ++i) loop->Post([&] { ++ran; });
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(Eventually([&] { return loop.On([&] { return ran; }) == kThreads * kJobs; }));
}

TEST(CqLoop, WakesAtOnceForAPostOfAnotherThread) {
  TestLoop loop;
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // It sleeps by now.
  Duration best = 1h;
  for (int i = 0; i < 200; ++i) {
    const Instant posted = loop->Now();
    const Instant ran = loop.On([&] { return loop->Now(); });
    best = std::min(best, ran - posted);
    std::this_thread::sleep_for(std::chrono::microseconds(300));
  }
  EXPECT_LT(best, 1ms);  // An alarm set to "now" would wait for the next millisecond.
}

TEST(CqLoop, FiresTimersInOrderAndNeverEarly) {
  std::vector<std::string> fired;
  std::promise<void> done;
  bool early = false;
  TestLoop loop;
  loop.On([&] {
    const Instant now = loop->Now();
    const auto set = [&](Duration in, std::string name) {
      loop->PostAt(now + in, [&, at = now + in, name] {
        early |= loop->Now() < at;
        fired.push_back(name);
        if (fired.size() == 5) done.set_value();
      });
    };
    set(30ms, "e");
    set(10ms, "b");
    set(10ms, "c");
    set(-5ms, "a");
    set(20ms, "d");
  });
  done.get_future().get();
  EXPECT_EQ(fired, (std::vector<std::string>{"a", "b", "c", "d", "e"}));
  EXPECT_FALSE(early);
}

TEST(CqLoop, DestroysACancelledJobAtOnceAndNeverRunsIt) {
  auto held = std::make_shared<int>(0);
  bool ran = false;
  TestLoop loop;
  loop.On([&] {
    const Loop::TimerId timer = loop->PostAt(loop->Now() + 5ms, [&ran, held] { ran = true; });
    EXPECT_EQ(held.use_count(), 2);
    loop->Cancel(timer);
    EXPECT_EQ(held.use_count(), 1);
    loop->Cancel(timer);  // Nothing happens.
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  loop.On([&] { EXPECT_FALSE(ran); });
}

TEST(CqLoop, ATimerIdIsNotTakenForALaterTimerInItsPlace) {
  std::promise<void> done;
  TestLoop loop;
  loop.On([&] {
    const Loop::TimerId first = loop->PostAt(loop->Now() + 1h, [] {});
    EXPECT_NE(first, 0u);
    loop->Cancel(first);
    const Loop::TimerId second = loop->PostAt(loop->Now() + 1ms, [&] { done.set_value(); });
    EXPECT_NE(first, second);
    loop->Cancel(first);
  });
  done.get_future().get();
}

TEST(CqLoop, KeepsItsHeapSmallWhenMostTimersAreCancelled) {
  int ran = 0;
  std::promise<void> done;
  TestLoop loop;
  loop.On([&] {
    for (int i = 0; i < 100'000; ++i) {
      loop->Cancel(loop->PostAt(loop->Now() + 5s, [&] { ++ran; }));
    }
    loop->PostAt(loop->Now() + 1ms, [&] { done.set_value(); });
  });
  done.get_future().get();
  loop.On([&] { EXPECT_EQ(ran, 0); });
}

TEST(CqLoop, RunsTurnEndJobsBehindEverythingThatIsReady) {
  std::vector<std::string> order;
  std::promise<void> done;
  TestLoop loop;
  loop.On([&] {
    loop->AtTurnEnd([&] {
      order.push_back("end");
      loop->AtTurnEnd([&] { order.push_back("end again"); });
      loop->Post([&] { done.set_value(); });
    });
    loop->Post([&] {
      order.push_back("posted");
      loop->Post([&] { order.push_back("posted by posted"); });
    });
  });
  done.get_future().get();
  EXPECT_EQ(order, (std::vector<std::string>{"posted", "posted by posted", "end", "end again"}));
}

TEST(CqLoop, AJobThatPostsItselfDoesNotKeepTheTurnFromItsEnd) {
  std::promise<void> done;
  bool stop = false;
  CqLoop* inner = nullptr;
  std::function<void()> again = [&] {
    if (!stop) inner->Post([&] { again(); });
  };
  TestLoop loop;
  loop.On([&] {
    inner = loop.get();
    again();
    loop->AtTurnEnd([&] {
      stop = true;
      done.set_value();
    });
  });
  done.get_future().get();
}

TEST(CqLoop, DoesNotSpinWhileItWaits) {
  uint64_t before = 0;
  std::promise<uint64_t> after;
  TestLoop loop;
  loop.On([&] {
    before = loop->turns();
    loop->PostAt(loop->Now() + 100ms, [&] { after.set_value(loop->turns()); });
  });
  EXPECT_LT(after.get_future().get() - before, 20u);
}

TEST(CqLoop, HandsEventsToTheirTags) {
  struct Tag final : CqTag {
    void Proceed(bool ok) override { fired.set_value(ok); }
    std::promise<bool> fired;
  };
  Tag tag;
  grpc::Alarm alarm;
  TestLoop loop;
  alarm.Set(loop->queue(), gpr_inf_past(GPR_CLOCK_MONOTONIC), tag.tag());
  EXPECT_TRUE(tag.fired.get_future().get());
}

TEST(CqLoop, DestroysJobsThatItNeverRan) {
  auto held = std::make_shared<int>(0);
  {
    CqLoop loop;
    loop.Post([held] {});
    loop.PostAt(loop.Now(), [held] {});
    loop.AtTurnEnd([held] {});
    EXPECT_EQ(held.use_count(), 4);
  }
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace annulus
