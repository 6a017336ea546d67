#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"

namespace annulus {

// Numbers with one writing thread (the loop's) and any number of readers: a write is a plain load
// and a plain store, with no lock and no read-modify-write.
class MetricCounter {
 public:
  void Add(uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

class MetricGauge {
 public:
  void Set(double value) { value_.store(value, std::memory_order_relaxed); }
  void Add(double n) { Set(value() + n); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

// Latencies, in buckets of a factor of about two from 50 us to 10 s.
class MetricHistogram {
 public:
  static constexpr int kBounds = 18;
  static double BoundSeconds(int bucket);

  void Observe(Duration latency);
  // In bucket i: observations of at most BoundSeconds(i); the last one holds the rest.
  uint64_t count(int bucket) const { return counts_[bucket].value(); }
  double sum_seconds() const { return sum_.value(); }

 private:
  MetricCounter counts_[kBounds + 1];
  MetricGauge sum_;
};

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

// Every metric of the process. Names are annulus_*, in _seconds, _bytes or _total.
//
// Adding may happen at any time, from any thread; the metrics live as long as the registry.
class MetricRegistry {
 public:
  // A family keeps the help text with which it was first named.
  MetricCounter* Counter(const std::string& name, const std::string& help,
                         MetricLabels labels = {});
  MetricGauge* Gauge(const std::string& name, const std::string& help, MetricLabels labels = {});
  MetricHistogram* Histogram(const std::string& name, const std::string& help,
                             MetricLabels labels = {});

  // The page that Prometheus scrapes. From any thread.
  std::string Render() const;

 private:
  enum class Kind { kCounter, kGauge, kHistogram };
  template <class Metric>
  struct Child {
    std::string family;
    MetricLabels labels;
    Metric metric;
  };
  struct Family {
    std::string name;
    std::string help;
    Kind kind;
  };

  void Name(const std::string& name, const std::string& help, Kind kind);
  template <class Metric>
  Metric* AddTo(std::deque<Child<Metric>>* children, const std::string& name,
                const std::string& help, Kind kind, MetricLabels labels);

  mutable std::mutex mutex_;
  std::vector<Family> families_;  // In the order in which they were named.
  std::deque<Child<MetricCounter>> counters_;
  std::deque<Child<MetricGauge>> gauges_;
  std::deque<Child<MetricHistogram>> histograms_;
};

}  // namespace annulus
