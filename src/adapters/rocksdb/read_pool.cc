#include "adapters/rocksdb/read_pool.h"

#include <pthread.h>

#include <utility>

namespace annulus {

ReadPool::ReadPool(int threads) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Serve(); });
}

ReadPool::~ReadPool() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_all();
  threads_.clear();  // Joins, while the rest of this still stands.
}

void ReadPool::Run(Work work) {
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
  }
  work_.notify_one();
}

void ReadPool::Serve() {
  pthread_setname_np(pthread_self(), "annulus read");
  while (true) {
    Work work;
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [this] { return stop_ || !queue_.empty(); });
      if (stop_) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

}  // namespace annulus
