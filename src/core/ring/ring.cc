#include "core/ring/ring.h"

#include <bit>

#include "absl/status/status.h"
#include "base/check.h"
#include "base/checksum.h"

namespace annulus {
namespace {

constexpr int kLeafBits = 10;
static_assert(kLeavesPerPartition == 1u << kLeafBits);

constexpr size_t kPartitionBytes = 2;

int PartitionBits(uint32_t partitions) {
  ANNULUS_CHECK(std::has_single_bit(partitions) && partitions <= 65536);
  return std::countr_zero(partitions);
}

// No byte of a bucket's name is 0x00, so the name needs no escapes to end there.
void AppendBucket(Bytes* out, PartitionId partition, BytesView bucket) {
  ANNULUS_CHECK(bucket.find('\0') == BytesView::npos);
  PutBigEndian16(out, static_cast<uint16_t>(partition.value()));
  out->append(bucket);
  out->push_back('\0');
}

void AppendKey(Bytes* out, BytesView bucket, BytesView key, uint32_t partitions) {
  const uint64_t hash = RingHash(bucket, key);
  AppendBucket(out, PartitionOf(hash, partitions), bucket);
  PutBigEndian16(out, static_cast<uint16_t>(LeafOf(hash, partitions)));
  PutOrdered(out, key);
}

// Everything that begins with `prefix`, whose last byte is what ends a field and is never 0xff.
KeyRange PrefixRange(Bytes prefix) {
  KeyRange range{prefix, std::move(prefix)};
  ++range.end.back();
  return range;
}

}  // namespace

uint64_t RingHash(BytesView bucket, BytesView key) {
  Bytes bytes;
  bytes.reserve(bucket.size() + key.size() + 2);
  PutSized(&bytes, bucket);
  bytes.append(key);
  return Hash64(bytes);
}

PartitionId PartitionOf(uint64_t hash, uint32_t partitions) {
  const int bits = PartitionBits(partitions);
  if (bits == 0) return PartitionId(0);  // A shift by 64 is not defined.
  return PartitionId(static_cast<uint32_t>(hash >> (64 - bits)));
}

uint32_t LeafOf(uint64_t hash, uint32_t partitions) {
  return static_cast<uint32_t>((hash << PartitionBits(partitions)) >> (64 - kLeafBits));
}

Bytes DataKey(const Item& item, uint32_t partitions) {
  Bytes bytes;
  bytes.reserve(item.bucket.size() + item.key.size() + item.sort_key.size() + 9);
  AppendKey(&bytes, item.bucket, item.key, partitions);
  PutOrdered(&bytes, item.sort_key);
  return bytes;
}

absl::StatusOr<ParsedDataKey> ParseDataKey(BytesView bytes) {
  const absl::Status malformed = absl::DataLossError("malformed data key");
  ParsedDataKey parsed;
  uint16_t partition, leaf;
  BytesView bucket;
  uint8_t zero;
  const size_t end = bytes.find('\0', kPartitionBytes);
  if (end == BytesView::npos) return malformed;
  ByteReader reader(bytes);
  reader.BigEndian16(&partition);
  reader.Take(end - kPartitionBytes, &bucket);
  reader.Byte(&zero);
  if (!reader.BigEndian16(&leaf) || leaf >= kLeavesPerPartition ||
      !reader.Ordered(&parsed.item.key) || !reader.Ordered(&parsed.item.sort_key) ||
      !reader.done()) {
    return malformed;
  }
  parsed.partition = PartitionId(partition);
  parsed.leaf = leaf;
  parsed.item.bucket = Bytes(bucket);
  return parsed;
}

KeyRange BucketRange(PartitionId partition, BytesView bucket) {
  Bytes prefix;
  AppendBucket(&prefix, partition, bucket);
  return PrefixRange(std::move(prefix));
}

KeyRange PartitionRange(PartitionId partition) {
  KeyRange range;
  PutBigEndian16(&range.begin, static_cast<uint16_t>(partition.value()));
  range.end = range.begin;
  range.end.push_back('\xff');  // Behind every bucket's name.
  return range;
}

KeyRange LeafRange(PartitionId partition, BytesView bucket, uint32_t first, uint32_t last) {
  ANNULUS_CHECK(first <= last && last < kLeavesPerPartition);
  KeyRange range;
  AppendBucket(&range.begin, partition, bucket);
  range.end = range.begin;
  PutBigEndian16(&range.begin, static_cast<uint16_t>(first));
  PutBigEndian16(&range.end, static_cast<uint16_t>(last + 1));
  return range;
}

BytesView BucketOf(BytesView data_key) {
  const size_t end = data_key.find('\0', kPartitionBytes);
  ANNULUS_CHECK(end != BytesView::npos);
  return data_key.substr(kPartitionBytes, end - kPartitionBytes);
}

KeyRange SortKeyRange(BytesView bucket, BytesView key, uint32_t partitions) {
  Bytes prefix;
  AppendKey(&prefix, bucket, key, partitions);
  return PrefixRange(std::move(prefix));
}

Bytes Successor(BytesView data_key) {
  Bytes bytes(data_key);
  bytes.push_back('\0');
  return bytes;
}

LeafId LeafOf(BytesView data_key) {
  uint16_t partition, leaf;
  ByteReader start(data_key);
  ANNULUS_CHECK(start.BigEndian16(&partition));
  ByteReader behind(data_key.substr(kPartitionBytes + BucketOf(data_key).size() + 1));
  ANNULUS_CHECK(behind.BigEndian16(&leaf));
  return {PartitionId(partition), leaf};
}

Bytes TreeKey(LeafId id) {
  Bytes bytes;
  PutBigEndian16(&bytes, static_cast<uint16_t>(id.partition.value()));
  PutBigEndian16(&bytes, static_cast<uint16_t>(id.leaf));
  return bytes;
}

KeyRange TreeRange(PartitionId partition) {
  return {TreeKey({partition, 0}), TreeKey({partition, kLeavesPerPartition})};
}

absl::StatusOr<LeafId> ParseTreeKey(BytesView bytes) {
  uint16_t partition, leaf;
  ByteReader reader(bytes);
  reader.BigEndian16(&partition);
  reader.BigEndian16(&leaf);
  if (!reader.done() || leaf >= kLeavesPerPartition) {
    return absl::DataLossError("malformed key of a hash tree's leaf");
  }
  return LeafId{PartitionId(partition), leaf};
}

}  // namespace annulus
