#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/random.h"
#include "cli/latency_histogram.h"
#include "cli/pipeline.h"

namespace annulus::cli {

struct BenchOptions {
  double rate = 0;  // Operations a second, begun when they are due (open loop); 0: as fast as goes.
  std::chrono::milliseconds duration{30'000};
  double reads = 0.5;  // The share of operations that are gets.
  uint64_t keys = 100'000;
  uint64_t value_bytes = 100;
  std::string bucket;
  std::string prefix;  // Of the keys.
  uint64_t seed = 1;
};

// What became of operations, by the second in which they ended.
class BenchRecord {
 public:
  struct Window {
    uint64_t ok = 0;
    uint64_t failed = 0;
    LatencyHistogram latency;  // Microseconds from when they were due, of those that were served.
    std::map<std::string, uint64_t> failures;  // By code and reason.
    void Add(const Window& other);
  };

  void Add(std::chrono::microseconds latency, const absl::Status& status);
  // What has come since the last call.
  Window Take();

 private:
  std::mutex mutex_;
  Window window_;
};

// The operations of one run, through a pipeline. Each key's last context is remembered and goes
// with the next put, so that values replace one another instead of standing side by side.
class BenchLoad {
 public:
  using Clock = std::chrono::steady_clock;

  // Both outlive it, and the pipeline is drained first.
  BenchLoad(Pipeline* pipeline, BenchRecord* record, BenchOptions options);

  // Writes every key once. False where some could not be written.
  bool Fill();
  // Begins operations until the duration has passed or `stop` says so, and waits for none. With a
  // rate, an operation that finds no room in the pipeline still counts from when it was due.
  template <class Stop>
  void Run(const Stop& stop) {
    const auto began = Clock::now();
    for (uint64_t number = 0;; ++number) {
      const auto due = options_.rate > 0 ? began + DueAfter(number) : Clock::now();
      if (due - began >= options_.duration || stop()) return;
      SleepUntil(due);
      Begin(due);
    }
  }

 private:
  std::chrono::nanoseconds DueAfter(uint64_t number) const;
  static void SleepUntil(Clock::time_point due);
  void Begin(Clock::time_point due);
  kv::v1::Operation Get(uint64_t key);
  kv::v1::Operation Put(uint64_t key);
  std::string KeyOf(uint64_t key) const;
  void Remember(uint64_t key, const std::string& context);

  Pipeline* pipeline_;
  BenchRecord* record_;
  const BenchOptions options_;
  Random random_;
  std::mutex mutex_;
  std::vector<std::string> contexts_;  // By key; guarded by mutex_.
};

}  // namespace annulus::cli
