#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace annulus::cli {

inline constexpr char kEndpointDefault[] = "127.0.0.1:50051";
inline constexpr int kPortDefault = 50051;

struct HostPort {
  std::string host;  // IPv6 without its brackets.
  int port = 0;
};

// "host:port", "[v6]:port".
absl::StatusOr<HostPort> ParseHostPort(absl::string_view text);

// "host:port" items, parted by commas or blanks; a missing port is 50051. Each once, in the order
// given.
absl::StatusOr<std::vector<std::string>> ParseEndpoints(absl::string_view text);

}  // namespace annulus::cli
