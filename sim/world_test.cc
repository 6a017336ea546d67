#include "sim/world.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace annulus::sim {
namespace {

TEST(World, RunsEventsInTheOrderOfTimeThenProcessThenSequence) {
  World world(1);
  SimLoop* a = world.NewLoop(1);
  SimLoop* b = world.NewLoop(2);
  std::string order;
  world.After(b, 1ms, [&] { order += "b1 "; });
  world.After(a, 1ms, [&] { order += "a1 "; });
  world.After(a, 1ms, [&] { order += "a2 "; });
  world.After(b, 500us, [&] { order += "early "; });
  world.RunFor(10ms);
  EXPECT_EQ(order, "early a1 a2 b1 ");
  EXPECT_EQ(world.now().time_since_epoch(), 10ms);
}

TEST(World, ATurnEndsWhenAllThatIsReadyHasRun) {
  World world(1);
  SimLoop* loop = world.NewLoop(1);
  std::string order;
  world.After(loop, 1ms, [&] {
    order += "first ";
    loop->AtTurnEnd([&] { order += "end "; });
    loop->Post([&] { order += "posted "; });
  });
  world.After(loop, 1ms, [&] { order += "second "; });
  world.After(loop, 2ms, [&] { order += "later "; });
  world.RunFor(10ms);
  EXPECT_EQ(order, "first second posted end later ");
}

TEST(World, ACancelledTimerIsDestroyedAtOnce) {
  World world(1);
  SimLoop* loop = world.NewLoop(1);
  auto held = std::make_shared<int>(1);
  const Loop::TimerId timer = loop->PostAt(loop->Now() + 1s, [held] { FAIL(); });
  EXPECT_EQ(held.use_count(), 2);
  loop->Cancel(timer);
  EXPECT_EQ(held.use_count(), 1);
  bool ran = false;
  loop->PostAt(loop->Now() + 1s, [&] { ran = true; });  // Takes the same slot.
  loop->Cancel(timer);
  world.RunFor(2s);
  EXPECT_TRUE(ran);
}

TEST(World, WhatAKilledProcessHadQueuedVanishes) {
  World world(1);
  SimLoop* loop = world.NewLoop(1);
  SimLoop* other = world.NewLoop(2);
  bool other_ran = false;
  world.After(loop, 1ms, [] { FAIL(); });
  world.After(other, 1ms, [&] { other_ran = true; });
  loop->Kill();
  loop->Post([] { FAIL(); });
  world.RunFor(10ms);
  EXPECT_TRUE(other_ran);
}

TEST(World, APausedProcessFindsEverythingWhenItGoesOn) {
  World world(1);
  SimLoop* loop = world.NewLoop(1);
  std::vector<std::pair<int, Duration>> ran;
  for (int i = 0; i < 3; ++i) {
    world.After(loop, 1ms * i, [&, i] { ran.emplace_back(i, world.now().time_since_epoch()); });
  }
  loop->Pause();
  world.RunFor(50ms);
  EXPECT_TRUE(ran.empty());
  loop->Resume();
  world.RunFor(50ms);
  ASSERT_EQ(ran.size(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ran[i], std::pair(i, Duration(50ms)));
}

TEST(World, ClocksDifferButATimerIsNeverEarlyOnItsOwn) {
  World world(1);
  for (const int64_t ppm : {0, 50000, -50000, 37}) {
    SimLoop* loop = world.NewLoop(1, {.boot = 1234567891ns, .rate_ppm = ppm});
    for (int i = 0; i < 50; ++i) {
      const Instant at = loop->Now() + 1ns * world.random().Below(1000000000);
      bool ran = false;
      loop->PostAt(at, [&] {
        ran = true;
        EXPECT_GE(loop->Now(), at);
        EXPECT_LE(loop->Now() - at, 1ms);
      });
      world.RunFor(1100ms);
      EXPECT_TRUE(ran);
    }
  }
}

TEST(World, TimersKeepToTheirClockWhenItsRateChanges) {
  World world(1);
  for (const int64_t ppm : {50000, -50000}) {
    SimLoop* loop = world.NewLoop(1, {.boot = 77s});
    int ran = 0;
    const Instant at = loop->Now() + 10s;
    loop->PostAt(at, [&] {
      ++ran;
      EXPECT_GE(loop->Now(), at);
      EXPECT_LE(loop->Now() - at, 1ms);
    });
    const Loop::TimerId cancelled = loop->PostAt(at, [&] { ran += 100; });
    world.RunFor(5s);
    loop->SetRate(ppm);
    loop->Cancel(cancelled);
    world.RunFor(2s);
    loop->SetRate(0);
    world.RunFor(4s);
    EXPECT_EQ(ran, 1);
  }
}

TEST(World, AWallClockIsAsWrongAsItIsMade) {
  World world(1);
  world.RunFor(100s);
  SimLoop* loop = world.NewLoop(1, {.boot = 5s, .wall_offset = 300ms});
  EXPECT_EQ(loop->WallError(), 300ms);
  loop->StepWall(-10min);
  EXPECT_EQ(loop->WallError(), 300ms - 10min);
  loop->SetRate(50000);
  world.RunFor(10s);
  EXPECT_EQ(loop->WallError(), 800ms - 10min);
}

TEST(World, TheTraceHashTellsRunsApart) {
  World a(1), b(1), c(1);
  a.Trace(TraceKind::kFault, 1, 2, 3);
  b.Trace(TraceKind::kFault, 1, 2, 3);
  c.Trace(TraceKind::kFault, 1, 2, 4);
  EXPECT_EQ(a.trace_hash(), b.trace_hash());
  EXPECT_NE(a.trace_hash(), c.trace_hash());
}

}  // namespace
}  // namespace annulus::sim
