#include "core/reap/dead.h"

#include <algorithm>

#include "base/planted.h"

namespace annulus {
namespace {

// Of equal length.
constexpr char kDying[] = "tomb/";
constexpr char kMark[] = "mark/";
constexpr size_t kPrefixBytes = sizeof(kMark) - 1;
static_assert(sizeof(kDying) == sizeof(kMark));

Bytes Prefixed(const char* prefix, BytesView key) { return Bytes(prefix).append(key); }

KeyRange Prefixed(const char* prefix, PartitionId partition) {
  const KeyRange range = PartitionRange(partition);
  return {Prefixed(prefix, range.begin), Prefixed(prefix, range.end)};
}

}  // namespace

std::optional<WallTime> DiesAt(const Record& record) {
  if (record == Record()) return std::nullopt;
  WallTime dies_at;
  for (const Sibling& sibling : record.siblings) {
    if (sibling.tombstone) continue;
    if (sibling.expires == WallTime()) return std::nullopt;
    dies_at = std::max(dies_at, sibling.expires);
  }
  return dies_at;
}

bool IsDead(std::optional<WallTime> dies_at, WallTime now, Duration clock_skew_max) {
  if (!dies_at.has_value()) return false;
  return *dies_at == WallTime() || dies_at->micros + clock_skew_max / 1us < now.micros;
}

bool IsEligible(const StoredRecord& stored, const PartitionEpochs& epochs, WallTime now,
                Duration clock_skew_max) {
  if (!IsDead(DiesAt(stored.record), now, clock_skew_max)) return false;
  // Rule UNCHANGED_SINCE.
  return stored.epoch < epochs.current || PlantedBugs::Has(PlantedBug::kReapChanged);
}

Bytes DyingKey(BytesView data_key) { return Prefixed(kDying, data_key); }
Bytes MarkKey(BytesView data_key) { return Prefixed(kMark, data_key); }
KeyRange DyingRange(PartitionId partition) { return Prefixed(kDying, partition); }
KeyRange MarkRange(PartitionId partition) { return Prefixed(kMark, partition); }
BytesView DataKeyOfIndex(BytesView index_key) { return index_key.substr(kPrefixBytes); }

Bytes EncodeDiesAt(WallTime dies_at) {
  Bytes bytes;
  PutFixed64(&bytes, static_cast<uint64_t>(dies_at.micros));
  return bytes;
}

absl::StatusOr<WallTime> DecodeDiesAt(BytesView bytes) {
  ByteReader reader(bytes);
  uint64_t micros;
  if (!reader.Fixed64(&micros) || !reader.done()) {
    return absl::DataLossError("an entry of the index of dying records is damaged");
  }
  return WallTime{static_cast<int64_t>(micros)};
}

}  // namespace annulus
