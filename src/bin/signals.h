#pragma once

#include <atomic>
#include <functional>
#include <thread>

namespace annulus {

// SIGTERM and SIGINT on a thread of their own: the first calls back, the second ends the process at
// once. SIGPIPE is ignored.
class Signals {
 public:
  // Keeps the signals from all threads that are started from now on. Call it before the first one.
  static void Block();

  // `on_first` runs on that thread. REQUIRES: Block was called.
  explicit Signals(std::function<void()> on_first);
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

 private:
  void Run(std::function<void()> on_first);

  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace annulus
