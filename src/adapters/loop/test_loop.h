#pragma once

#include <future>
#include <memory>
#include <thread>
#include <utility>

#include "adapters/loop/cq_loop.h"

namespace annulus {

// A CqLoop on a thread of its own, for tests.
class TestLoop {
 public:
  TestLoop() : loop_(std::make_unique<CqLoop>()), thread_([this] { loop_->Run(); }) {}
  ~TestLoop() { End(); }

  CqLoop* get() { return loop_.get(); }
  CqLoop* operator->() { return loop_.get(); }

  // Runs the function on the loop and waits for it.
  template <class Function>
  auto On(Function function) {
    // Shared: the waiting thread may go on before the loop has let go of it.
    auto task = std::make_shared<std::packaged_task<decltype(function())()>>(std::move(function));
    auto result = task->get_future();
    loop_->Post([task] { (*task)(); });
    return result.get();
  }

  // Stops, joins and takes back what is left on the queue. Idempotent.
  void End() {
    if (loop_ == nullptr) return;
    loop_->Stop();
    thread_.join();
    loop_.reset();
  }

 private:
  std::unique_ptr<CqLoop> loop_;
  std::thread thread_;
};

// Asks every few milliseconds, up to `patience`, until the answer is true.
template <class Condition>
bool Eventually(Condition condition, Duration patience = 10s) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace annulus
