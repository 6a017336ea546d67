#pragma once

#include <chrono>
#include <string>

#include "absl/status/statusor.h"

namespace annulus::cli {

struct HttpAnswer {
  int code = 0;
  std::string body;  // At most 64 KiB of it.
};

// A GET over a socket of its own, for health checks: no proxy, no redirect, no TLS. UNAVAILABLE
// where nobody answers in time.
absl::StatusOr<HttpAnswer> HttpGet(const std::string& address, const std::string& path,
                                   std::chrono::milliseconds timeout);

}  // namespace annulus::cli
