#pragma once

#include <chrono>
#include <cstdint>

namespace annulus {

// Two clocks that never mix: durations and deadlines come from the monotonic one, which is all that
// decisions use; the wall clock only dates writes and expiries for people (DESIGN section 6).
// Neither type can tell the time: an instant is handed in (env/Clock, task/Loop).

using Duration = std::chrono::nanoseconds;

struct MonotonicClock {
  using rep = int64_t;
  using period = std::nano;
  using duration = Duration;
  using time_point = std::chrono::time_point<MonotonicClock, Duration>;
  static constexpr bool is_steady = true;
};
using Instant = MonotonicClock::time_point;

// Microseconds since 1970-01-01 UTC.
struct WallTime {
  int64_t micros = 0;
  auto operator<=>(const WallTime&) const = default;
};

inline constexpr Instant kForever = Instant::max();

constexpr double ToSeconds(Duration d) { return std::chrono::duration<double>(d).count(); }
constexpr Duration FromSeconds(double s) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(s));
}

using namespace std::chrono_literals;  // 5ms, 2s

}  // namespace annulus
