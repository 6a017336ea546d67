#pragma once

#include <cstdio>
#include <cstdlib>

// An invariant. It stays on in release: a node that goes on with a broken invariant loses data, one
// that stops is what the rest of the system is built to survive.
#define ANNULUS_CHECK(condition)                                        \
  do {                                                                  \
    if (!(condition)) [[unlikely]] {                                    \
      ::annulus::internal::CheckFailed(#condition, __FILE__, __LINE__); \
    }                                                                   \
  } while (false)

namespace annulus::internal {

[[noreturn]] inline void CheckFailed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: invariant does not hold: %s\n", file, line, condition);
  std::fflush(stderr);
  std::abort();
}

}  // namespace annulus::internal
