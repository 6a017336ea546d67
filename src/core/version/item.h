#pragma once

#include <compare>

#include "absl/status/status.h"
#include "base/bytes.h"

namespace annulus {

// What one (bucket, key, sort key) names.
struct Item {
  Bytes bucket;
  Bytes key;
  Bytes sort_key;

  auto operator<=>(const Item&) const = default;

  template <class H>
  friend H AbslHashValue(H h, const Item& item) {
    return H::combine(std::move(h), item.bucket, item.key, item.sort_key);
  }
};

// What the public doors refuse before anything is buffered or written. Settings, with these
// defaults.
struct Limits {
  size_t key_bytes_max = 4 << 10;
  size_t sort_key_bytes_max = 1 << 10;
  size_t value_bytes_max = 1 << 20;
  size_t batch_operations_max = 1000;
  // Bounds of a record that a client write may not grow past. Merges are never refused.
  size_t record_bytes_max = 3584 << 10;
  size_t siblings_max = 100;
  // From here on `siblings` in answers deserves a warning.
  size_t siblings_warn = 25;
};

// INVALID_ARGUMENT, with what is wrong and the limit, for a malformed bucket, key or sort key.
absl::Status ValidateItem(const Item& item, const Limits& limits);
// [a-z0-9][a-z0-9._-]{0,62}
absl::Status ValidateBucket(BytesView bucket);

}  // namespace annulus
