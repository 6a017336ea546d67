#include "core/version/record.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/planted.h"

namespace annulus {
namespace {

constexpr uint8_t kFormat = 1;

// Flags of an encoded sibling. A bit beyond these is from a newer format, or damage.
constexpr uint8_t kTombstone = 1;
constexpr uint8_t kExpires = 2;

// Of a planted bug.
constexpr size_t kWidthPruned = 6;

// Actor, counter, flags, write time, request id, length of the value.
constexpr size_t kSiblingBytesMin = 8 + 1 + 1 + 8 + 16 + 1;

bool Expired(const Sibling& sibling, WallTime now) {
  if (PlantedBugs::Has(PlantedBug::kExpiredIsShown)) return false;
  return sibling.expires.micros != 0 && sibling.expires <= now;
}

void AppendSibling(Bytes* out, const Sibling& sibling) {
  const bool expires = sibling.expires.micros != 0;
  PutFixed64(out, sibling.dot.actor.value());
  PutVarint(out, sibling.dot.counter);
  out->push_back(
      static_cast<char>((sibling.tombstone ? kTombstone : 0) | (expires ? kExpires : 0)));
  PutFixed64(out, static_cast<uint64_t>(sibling.write_time.micros));
  if (expires) PutFixed64(out, static_cast<uint64_t>(sibling.expires.micros));
  out->append(sibling.request_id.data(), sibling.request_id.size());
  PutSized(out, sibling.value);
}

bool TakeSibling(ByteReader* reader, Sibling* sibling) {
  uint64_t actor, counter, write_time, expires = 0;
  uint8_t flags;
  BytesView request_id, value;
  if (!reader->Fixed64(&actor) || !reader->Varint(&counter) || !reader->Byte(&flags) ||
      !reader->Fixed64(&write_time)) {
    return false;
  }
  if ((flags & ~(kTombstone | kExpires)) != 0) return false;
  // "Expires at 0" has an encoding of its own: without the flag.
  if ((flags & kExpires) != 0 && (!reader->Fixed64(&expires) || expires == 0)) return false;
  if (!reader->Take(sibling->request_id.size(), &request_id) || !reader->Sized(&value))
    return false;
  sibling->dot = Dot{ActorId(actor), counter};
  sibling->tombstone = (flags & kTombstone) != 0;
  if (sibling->tombstone && !value.empty()) return false;
  sibling->write_time.micros = static_cast<int64_t>(write_time);
  sibling->expires.micros = static_cast<int64_t>(expires);
  std::copy(request_id.begin(), request_id.end(), sibling->request_id.begin());
  sibling->value = Bytes(value);
  return true;
}

}  // namespace

bool SameRequest(const RequestId& a, const RequestId& b) { return a == b && a != RequestId{}; }

void Write(Record* record, const VersionVector& context, Sibling sibling) {
  ANNULUS_CHECK(sibling.dot.counter > 0);
  ANNULUS_CHECK(!record->vector.Covers(sibling.dot));
  // A context that covers the dot would drop this very sibling at the next merge with itself.
  ANNULUS_CHECK(!context.Covers(sibling.dot));
  ANNULUS_CHECK(!sibling.tombstone || sibling.value.empty());

  auto& siblings = record->siblings;
  const bool own_only = PlantedBugs::Has(PlantedBug::kContextCoversOwnDotsOnly);
  std::erase_if(siblings, [&](const Sibling& s) {
    return context.Covers(s.dot) && (!own_only || s.dot.actor == sibling.dot.actor);
  });
  if (PlantedBugs::Has(PlantedBug::kWriteDropsAllSiblings)) siblings.clear();

  record->vector.Merge(context);
  record->vector.Add(sibling.dot);
  auto place = std::lower_bound(siblings.begin(), siblings.end(), sibling.dot,
                                [](const Sibling& s, Dot dot) { return s.dot < dot; });
  siblings.insert(place, std::move(sibling));
  if (PlantedBugs::Has(PlantedBug::kVectorPruned) && record->vector.width() > kWidthPruned) {
    record->vector = VersionVector();
    for (const Sibling& standing : siblings) record->vector.Add(standing.dot);
  }
}

bool Merge(Record* into, const Record& from) {
  bool changed = !into->vector.Covers(from.vector);
  std::vector<Sibling> merged;
  merged.reserve(into->siblings.size() + from.siblings.size());

  // Both ascend by dot. What one side lacks, it either replaced (its vector covers the dot) or has
  // never seen; so each sibling's fate is one look at the other side's vector.
  auto mine = into->siblings.begin();
  auto theirs = from.siblings.begin();
  while (mine != into->siblings.end() || theirs != from.siblings.end()) {
    if (theirs == from.siblings.end() ||
        (mine != into->siblings.end() && mine->dot < theirs->dot)) {
      if (from.vector.Covers(mine->dot)) {
        changed = true;
      } else {
        merged.push_back(std::move(*mine));
      }
      ++mine;
    } else if (mine == into->siblings.end() || theirs->dot < mine->dot) {
      if (!into->vector.Covers(theirs->dot)) {
        merged.push_back(*theirs);
        changed = true;
      }
      ++theirs;
    } else {
      merged.push_back(std::move(*mine));
      ++mine;
      ++theirs;
    }
  }
  into->siblings = std::move(merged);

  if (PlantedBugs::Has(PlantedBug::kMergeDropsSibling) && changed && into->siblings.size() > 1) {
    into->siblings.erase(into->siblings.begin(), std::prev(into->siblings.end()));
  }
  if (PlantedBugs::Has(PlantedBug::kMergeForgetsVector)) {
    for (const Sibling& sibling : into->siblings) into->vector.Add(sibling.dot);
    return changed;
  }
  into->vector.Merge(from.vector);
  return changed;
}

bool SameVersions(const Record& a, const Record& b) {
  return a.vector == b.vector &&
         std::equal(a.siblings.begin(), a.siblings.end(), b.siblings.begin(), b.siblings.end(),
                    [](const Sibling& x, const Sibling& y) { return x.dot == y.dot; });
}

size_t SizeOf(const Sibling& sibling) {
  return kSiblingBytesMin - 2 + VarintSize(sibling.dot.counter) +
         (sibling.expires.micros != 0 ? 8 : 0) + VarintSize(sibling.value.size()) +
         sibling.value.size();
}

size_t SizeOf(const Record& record) {
  size_t size = 1 + record.vector.EncodedSize() + VarintSize(record.siblings.size()) + 8;
  for (const Sibling& sibling : record.siblings) size += SizeOf(sibling);
  return size;
}

Shown Show(const Record& record, WallTime now, size_t bytes_max) {
  Shown shown;
  shown.context = record.vector;
  size_t bytes = 0;
  std::vector<const Sibling*> left_out;
  for (const Sibling& sibling : record.siblings) {
    if (sibling.tombstone) {
      shown.tombstone = true;
      continue;
    }
    if (Expired(sibling, now)) continue;
    auto same = [&](const Sibling* s) { return SameRequest(s->request_id, sibling.request_id); };
    if (std::any_of(shown.siblings.begin(), shown.siblings.end(), same)) continue;
    // Once one was left out, all behind it are, so that what is shown is a prefix by dot.
    const size_t size = SizeOf(sibling);
    if (!left_out.empty() || (!shown.siblings.empty() && size > bytes_max - bytes)) {
      left_out.push_back(&sibling);
      continue;
    }
    shown.siblings.push_back(&sibling);
    bytes += std::min(size, bytes_max - bytes);
  }
  for (const Sibling* sibling : left_out) shown.context.Remove(sibling->dot);
  shown.more = !left_out.empty();
  return shown;
}

uint64_t DigestOf(const Item& item, const Record& record) {
  if (record.vector.empty()) return 0;
  Bytes bytes;
  constexpr size_t kLengthBytes = 10;
  constexpr size_t kDotBytes = 8 + kLengthBytes;
  bytes.reserve(item.bucket.size() + item.key.size() + item.sort_key.size() + 3 * kLengthBytes +
                record.vector.EncodedSize() + record.siblings.size() * kDotBytes);
  PutSized(&bytes, item.bucket);
  PutSized(&bytes, item.key);
  PutSized(&bytes, item.sort_key);
  record.vector.EncodeTo(&bytes);
  for (const Sibling& sibling : record.siblings) {
    PutFixed64(&bytes, sibling.dot.actor.value());
    PutVarint(&bytes, sibling.dot.counter);
  }
  return Hash64(bytes);
}

void AppendRecord(Bytes* out, const Record& record) {
  out->push_back(static_cast<char>(kFormat));
  record.vector.EncodeTo(out);
  PutVarint(out, record.siblings.size());
  for (const Sibling& sibling : record.siblings) AppendSibling(out, sibling);
}

bool TakeRecord(ByteReader* reader, Record* record) {
  uint8_t format;
  uint64_t count;
  if (!reader->Byte(&format) || format != kFormat) return false;
  if (!record->vector.DecodeFrom(reader)) return false;
  if (!reader->Varint(&count) || count > reader->rest().size() / kSiblingBytesMin) return false;
  record->siblings.clear();
  record->siblings.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    Sibling sibling;
    if (!TakeSibling(reader, &sibling)) return false;
    if (!record->siblings.empty() && sibling.dot <= record->siblings.back().dot) return false;
    if (!record->vector.Covers(sibling.dot)) return false;
    record->siblings.push_back(std::move(sibling));
  }
  return true;
}

Bytes Encode(const Record& record) {
  Bytes bytes;
  bytes.reserve(SizeOf(record));
  AppendRecord(&bytes, record);
  AppendChecksum(&bytes);
  return bytes;
}

absl::StatusOr<Record> DecodeRecord(BytesView bytes) {
  const std::optional<BytesView> body = TakeChecksum(bytes);
  if (!body.has_value()) {
    return absl::DataLossError("a record failed its checksum: it was cut or altered");
  }
  ByteReader reader(*body);
  Record record;
  if (!TakeRecord(&reader, &record) || !reader.done()) {
    return absl::DataLossError("a record is malformed, or of a newer format");
  }
  return record;
}

Record WithoutValues(const Record& record) {
  Record result;
  result.vector = record.vector;
  result.siblings.reserve(record.siblings.size());
  for (const Sibling& s : record.siblings) {
    result.siblings.push_back(
        Sibling{s.dot, s.tombstone, s.write_time, s.expires, s.request_id, Bytes()});
  }
  return result;
}

}  // namespace annulus
