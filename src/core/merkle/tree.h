#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "core/ring/ring.h"
#include "core/version/stored.h"

namespace annulus {

// What an item contributes to its leaf: equal for equal versions, 0 for nothing, and for a record
// that is marked to be deleted.
uint64_t LeafDigest(const Item& item, const Record& record, bool marked);
inline uint64_t LeafDigest(const Item& item, const StoredRecord& stored) {
  return LeafDigest(item, stored.record, stored.marked);
}

// A partition's leaves, kLeavesPerPartition of them.
using Leaves = std::vector<uint64_t>;
// Equal leaves have equal roots; others differ but for one chance in 2^64.
uint64_t RootOf(const Leaves& leaves);
// 8 KiB.
Bytes Encode(const Leaves& leaves);
absl::StatusOr<Leaves> DecodeLeaves(BytesView bytes);

// The leaves that are not equal in all trees, ascending.
std::vector<uint32_t> DifferingLeaves(const std::vector<Leaves>& trees);

// One item of a list that an owner sends. The digest is never 0.
struct KeyDigest {
  Bytes data_key;
  uint64_t digest = 0;
  bool operator==(const KeyDigest&) const = default;
};

// An item that the owners do not hold alike: what each has of it, in the order of the lists; 0
// where it has none.
struct Difference {
  Bytes data_key;
  std::vector<uint64_t> digests;
  bool operator==(const Difference&) const = default;
};
// Compares what several owners hold of the same leaves, each list ascending by data key. Answers
// ascending too.
std::vector<Difference> Compare(const std::vector<std::vector<KeyDigest>>& lists);

}  // namespace annulus
