#pragma once

#include <cstdint>

#include "absl/status/statusor.h"

namespace annulus {

enum class Consistency : uint8_t { kDefault, kOne, kQuorum, kAll };

// How many replicas an operation waits for: a level, or a number (0: not given).
struct ReplicaCount {
  Consistency level = Consistency::kDefault;
  uint32_t number = 0;
};

// The number for a partition with this many owners; kDefault is a quorum. INVALID_ARGUMENT where
// both are given, or more than there are owners; `name` ("r" or "w") is for the message.
absl::StatusOr<uint32_t> Resolve(ReplicaCount count, uint32_t owners, const char* name);

}  // namespace annulus
