// What waiting costs: a turn of the real loop, a job from another thread, a timer, a coroutine, a
// mailbox.

#include <benchmark/benchmark.h>

#include <atomic>
#include <functional>
#include <optional>
#include <thread>

#include "adapters/loop/cq_loop.h"
#include "task/mailbox.h"
#include "task/manual_loop.h"
#include "task/spawn.h"

namespace annulus {
namespace {

// Each iteration is a job that posts the next, which runs in the same turn or the one after.
void PostedJobs(benchmark::State& state) {
  CqLoop loop;
  std::function<void()> next = [&] {
    if (!state.KeepRunning()) return loop.Stop();
    loop.Post([&] { next(); });
  };
  loop.Post([&] { next(); });
  loop.Run();
}
BENCHMARK(PostedJobs);

// There and back: the loop sleeps, another thread wakes it and waits for the answer.
void WakeFromAnotherThread(benchmark::State& state) {
  CqLoop loop;
  std::thread thread([&] { loop.Run(); });
  for (auto _ : state) {
    std::atomic<bool> done{false};
    loop.Post([&] {
      done = true;
      done.notify_one();
    });
    done.wait(false);
  }
  loop.Stop();
  thread.join();
}
BENCHMARK(WakeFromAnotherThread)->UseRealTime();

void SetAndCancelATimer(benchmark::State& state) {
  CqLoop loop;
  const Instant later = loop.Now() + 10s;
  for (auto _ : state) loop.Cancel(loop.PostAt(later, [] {}));
}
BENCHMARK(SetAndCancelATimer);

Task<int> Answer() { co_return 42; }
Task<int> Ask() {
  int answer = co_await Answer();
  co_return answer;
}

void NestedTasks(benchmark::State& state) {
  TaskGroup group;
  for (auto _ : state) {
    group.Spawn([]() -> Task<void> {
      int answer = co_await Ask();
      benchmark::DoNotOptimize(answer);
    }());
  }
}
BENCHMARK(NestedTasks);

void MailboxDelivery(benchmark::State& state) {
  ManualLoop loop;
  Mailbox<int> box(&loop);
  TaskGroup group;
  int64_t got = 0;
  group.Spawn([](Mailbox<int>* box, int64_t* got) -> Task<void> {
    while (true) {
      std::optional<int> value = co_await box->Next();
      *got += *value;
    }
  }(&box, &got));
  const Mailbox<int>::Sender sender = box.sender();
  for (auto _ : state) sender.Deliver(1);
  benchmark::DoNotOptimize(got);
}
BENCHMARK(MailboxDelivery);

}  // namespace
}  // namespace annulus
