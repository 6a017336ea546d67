#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"

namespace annulus {

// A few threads that wait for the disk. They block while there is nothing to do.
class ReadPool {
 public:
  using Work = absl::AnyInvocable<void()>;

  explicit ReadPool(int threads);
  // Ends the work that has begun; the rest is destroyed here, unrun.
  ~ReadPool();

  ReadPool(const ReadPool&) = delete;
  ReadPool& operator=(const ReadPool&) = delete;

  // Runs `work` on one of the threads. It may outlive neither this pool nor what it refers to.
  void Run(Work work);

 private:
  void Serve();

  std::mutex mutex_;
  std::condition_variable work_;
  std::deque<Work> queue_;  // Guarded by mutex_.
  bool stop_ = false;       // Guarded by mutex_.
  std::vector<std::jthread> threads_;
};

}  // namespace annulus
