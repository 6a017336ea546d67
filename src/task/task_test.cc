#include "task/task.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "task/await.h"
#include "task/mailbox.h"
#include "task/manual_loop.h"
#include "task/sleep.h"
#include "task/spawn.h"

namespace annulus {
namespace {

Task<int> Twice(int value) { co_return 2 * value; }

Task<int> Sum(int depth) {
  if (depth == 0) co_return 0;
  const int below = co_await Sum(depth - 1);
  co_return below + 1;
}

TEST(Task, IsLazyAndReturnsItsValue) {
  TaskGroup group;
  int seen = 0;
  group.Spawn([](int* seen) -> Task<void> {
    Task<int> task = Twice(21);
    const int value = co_await std::move(task);
    *seen = value;
  }(&seen));
  EXPECT_EQ(seen, 42);
  EXPECT_EQ(group.running(), 0u);
}

TEST(Task, ADeepChainDoesNotGrowTheStackAsItReturns) {
  TaskGroup group;
  int seen = 0;
  group.Spawn([](int* seen) -> Task<void> {
    const int value = co_await Sum(2000);
    *seen = value;
  }(&seen));
  EXPECT_EQ(seen, 2000);
}

TEST(Task, MovesValuesThatCannotBeCopied) {
  TaskGroup group;
  std::string seen;
  group.Spawn([](std::string* seen) -> Task<void> {
    auto make = []() -> Task<std::unique_ptr<std::string>> {
      co_return std::make_unique<std::string>("moved");
    };
    std::unique_ptr<std::string> value = co_await make();
    *seen = *value;
  }(&seen));
  EXPECT_EQ(seen, "moved");
}

TEST(Sleep, EndsWhenTheClockReachesIt) {
  ManualLoop loop;
  TaskGroup group;
  std::vector<int> order;
  for (int ms : {30, 10, 20}) {
    group.Spawn([](ManualLoop* loop, int ms, std::vector<int>* order) -> Task<void> {
      co_await Sleep(loop, std::chrono::milliseconds(ms));
      order->push_back(ms);
    }(&loop, ms, &order));
  }
  loop.Advance(15ms);
  EXPECT_EQ(order, (std::vector<int>{10}));
  loop.Advance(15ms);
  EXPECT_EQ(order, (std::vector<int>{10, 20, 30}));
}

TEST(TaskGroup, AbandonsFlowsWhereverTheyWait) {
  ManualLoop loop;
  auto held = std::make_shared<int>(7);
  Mailbox<int> outside(&loop);
  absl::AnyInvocable<void(int)> late;
  {
    TaskGroup group;
    group.Spawn([](ManualLoop* loop, std::shared_ptr<int>) -> Task<void> {
      co_await Sleep(loop, 1h);
    }(&loop, held));
    group.Spawn([](ManualLoop* loop, std::shared_ptr<int>) -> Task<void> {
      Mailbox<int> box(loop);
      std::optional<int> value = co_await box.Next(loop->Now() + 1h);
      ADD_FAILURE() << value.has_value();
    }(&loop, held));
    group.Spawn([](absl::AnyInvocable<void(int)>* late, std::shared_ptr<int>) -> Task<void> {
      int value = co_await Await<int>([&](auto done) { *late = std::move(done); });
      ADD_FAILURE() << value;
    }(&late, held));
    EXPECT_EQ(group.running(), 3u);
    EXPECT_EQ(held.use_count(), 4);
  }
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_EQ(loop.timers(), 0u);
  late(1);  // Comes after the flow is gone: dropped.
  loop.Advance(2h);
}

TEST(Await, TakesACallbackThatComesAtOnceOrLater) {
  TaskGroup group;
  std::vector<int> seen;
  absl::AnyInvocable<void(int)> later;
  group.Spawn([](absl::AnyInvocable<void(int)>* later, std::vector<int>* seen) -> Task<void> {
    int first = co_await Await<int>([](auto done) { done(1); });
    seen->push_back(first);
    int second = co_await Await<int>([&](auto done) { *later = std::move(done); });
    seen->push_back(second);
  }(&later, &seen));
  EXPECT_EQ(seen, (std::vector<int>{1}));
  later(2);
  EXPECT_EQ(seen, (std::vector<int>{1, 2}));
}

TEST(Mailbox, KeepsTheOrderOfWhatCameBeforeItWasAskedFor) {
  ManualLoop loop;
  TaskGroup group;
  Mailbox<int> box(&loop);
  box.sender().Deliver(1);
  box.sender().Deliver(2);
  std::vector<int> seen;
  group.Spawn([](Mailbox<int>* box, std::vector<int>* seen) -> Task<void> {
    for (int i = 0; i < 3; ++i) {
      std::optional<int> value = co_await box->Next();
      seen->push_back(*value);
    }
  }(&box, &seen));
  EXPECT_EQ(seen, (std::vector<int>{1, 2}));
  box.sender().Deliver(3);
  EXPECT_EQ(seen, (std::vector<int>{1, 2, 3}));
}

TEST(Mailbox, TheDeadlineEndsTheWaitAndLeavesNoTimer) {
  ManualLoop loop;
  TaskGroup group;
  Mailbox<int> box(&loop);
  std::vector<int> seen;
  group.Spawn([](ManualLoop* loop, Mailbox<int>* box, std::vector<int>* seen) -> Task<void> {
    for (int i = 0; i < 3; ++i) {
      std::optional<int> value = co_await box->Next(loop->Now() + 10ms);
      seen->push_back(value.value_or(-1));
    }
  }(&loop, &box, &seen));
  loop.Advance(5ms);
  box.sender().Deliver(1);
  EXPECT_EQ(seen, (std::vector<int>{1}));
  loop.Advance(9ms);
  EXPECT_EQ(seen, (std::vector<int>{1}));
  loop.Advance(1ms);
  EXPECT_EQ(seen, (std::vector<int>{1, -1}));
  box.sender().Deliver(2);
  EXPECT_EQ(seen, (std::vector<int>{1, -1, 2}));
  EXPECT_EQ(loop.timers(), 0u);
}

TEST(Mailbox, WhatIsDeliveredAfterItIsGoneIsDropped) {
  ManualLoop loop;
  auto box = std::make_unique<Mailbox<int>>(&loop);
  auto sender = box->sender();
  box.reset();
  sender.Deliver(1);
}

}  // namespace
}  // namespace annulus
