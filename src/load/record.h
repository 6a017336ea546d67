#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "base/time.h"
#include "load/latency_histogram.h"
#include "load/workload.h"

namespace annulus::load {

// What became of operations that ended in a stretch of time.
struct Window {
  uint64_t ok = 0;
  uint64_t failed = 0;
  // Microseconds from when they were due, of those that were served.
  LatencyHistogram latency;
  std::array<LatencyHistogram, kKinds> latency_of;  // The same, by kind.
  std::map<std::string, uint64_t> failures;         // By code and reason.

  void Count(Kind kind, Duration latency, const absl::Status& status);
  void Add(const Window& other);
};

}  // namespace annulus::load
