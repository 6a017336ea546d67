#pragma once

#include "base/time.h"

namespace annulus {

// The wall clock: dates writes and expiries for people, decides nothing else (DESIGN section 6).
// The monotonic clock is the Loop's.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual WallTime Wall() const = 0;
};

}  // namespace annulus
