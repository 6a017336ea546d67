#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/strong_id.h"
#include "core/version/item.h"

namespace annulus {

// XXH3-64, seed 0, over varint(length of bucket), bucket, key. The sort key has no part in it.
uint64_t RingHash(BytesView bucket, BytesView key);

// The top log2 Q bits. REQUIRES: partitions is a power of two, 1..65536.
PartitionId PartitionOf(uint64_t hash, uint32_t partitions);

// Leaves of the hash tree within a partition: the next 10 bits.
inline constexpr uint32_t kLeavesPerPartition = 1024;
uint32_t LeafOf(uint64_t hash, uint32_t partitions);

// Where an item lies in the data column family: partition (2 bytes), bucket and 0x00, leaf (2
// bytes), key and sort key, each order-preserving; so that one leaf of a bucket is one short range,
// and a partition of a bucket another.
Bytes DataKey(const Item& item, uint32_t partitions);
// Bytes that are no data key are DATA_LOSS.
struct ParsedDataKey {
  PartitionId partition;
  uint32_t leaf = 0;
  Item item;
};
absl::StatusOr<ParsedDataKey> ParseDataKey(BytesView bytes);

// Half-open ranges of keys.
struct KeyRange {
  Bytes begin;
  Bytes end;
};
// All data keys of a partition.
KeyRange PartitionRange(PartitionId partition);
KeyRange BucketRange(PartitionId partition, BytesView bucket);
// The items of one key, in the order of their sort keys.
KeyRange SortKeyRange(BytesView bucket, BytesView key, uint32_t partitions);
// The items of a bucket in these leaves, both included. REQUIRES: first <= last.
KeyRange LeafRange(PartitionId partition, BytesView bucket, uint32_t first, uint32_t last);
// The bucket of a data key, inside it. REQUIRES: a data key.
BytesView BucketOf(BytesView data_key);
// The first key behind this one.
Bytes Successor(BytesView data_key);

// One leaf of one partition's hash tree.
struct LeafId {
  PartitionId partition;
  uint32_t leaf = 0;
  bool operator==(const LeafId&) const = default;
};
// The leaf of a data key's item. REQUIRES: a data key.
LeafId LeafOf(BytesView data_key);
// Where a leaf lies in the tree column family: partition and leaf, 2 bytes each.
Bytes TreeKey(LeafId id);
// All leaves of a partition.
KeyRange TreeRange(PartitionId partition);
// Bytes that are no key of a leaf are DATA_LOSS.
absl::StatusOr<LeafId> ParseTreeKey(BytesView bytes);

}  // namespace annulus
