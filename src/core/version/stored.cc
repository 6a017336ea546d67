#include "core/version/stored.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/planted.h"

namespace annulus {
namespace {

constexpr uint8_t kFormat = 1;
// Bits.
constexpr uint8_t kNote = 1;
constexpr uint8_t kMarked = 2;

// Under which name this incarnation mints here. A note of another incarnation proves nothing: its
// process may have sent a dot and died before the note of it was durable.
ActorId ActorFor(const StoredRecord& stored, Incarnation incarnation, Random* random) {
  if (stored.note.has_value()) {
    if (stored.note->incarnation == incarnation) return stored.note->actor;
    if (PlantedBugs::Has(PlantedBug::kActorReusedAfterCrash)) return stored.note->actor;
  }
  return ActorId(random->Next());
}

// Whether `record` would be over a limit, and larger than it is, once `sibling` replaced what
// `covering` covers.
MintVerdict CheckLimits(const Record& record, const VersionVector& covering, const Sibling& sibling,
                        const Limits& limits) {
  VersionVector vector = record.vector;
  vector.Merge(covering);
  vector.Add(sibling.dot);

  size_t count = 1;
  size_t bytes = vector.EncodedSize() + SizeOf(sibling);
  size_t bytes_before = record.vector.EncodedSize();
  for (const Sibling& s : record.siblings) {
    const size_t size = SizeOf(s);
    bytes_before += size;
    if (covering.Covers(s.dot)) continue;
    ++count;
    bytes += size;
  }
  if (count > limits.siblings_max && count > record.siblings.size()) {
    return MintVerdict::kTooManySiblings;
  }
  if (bytes > limits.record_bytes_max && bytes > bytes_before) {
    return MintVerdict::kRecordTooLarge;
  }
  return MintVerdict::kMinted;
}

}  // namespace

Bytes Encode(const StoredRecord& stored) {
  Bytes bytes;
  bytes.reserve(SizeOf(stored.record) + 32);
  bytes.push_back(static_cast<char>(kFormat));
  PutVarint(&bytes, stored.epoch.value());
  bytes.push_back(
      static_cast<char>((stored.note.has_value() ? kNote : 0) | (stored.marked ? kMarked : 0)));
  if (stored.note.has_value()) {
    PutFixed64(&bytes, stored.note->actor.value());
    PutFixed64(&bytes, stored.note->incarnation.value());
  }
  AppendRecord(&bytes, stored.record);
  AppendChecksum(&bytes);
  return bytes;
}

absl::StatusOr<StoredRecord> DecodeStored(BytesView bytes) {
  const std::optional<BytesView> body = TakeChecksum(bytes);
  if (!body.has_value()) {
    return absl::DataLossError("a stored record failed its checksum: it was cut or altered");
  }
  // Made only where it is needed: each put and get comes through here.
  const auto malformed = [] {
    return absl::DataLossError("a stored record is malformed, or of a newer format");
  };
  ByteReader reader(*body);
  uint8_t format, bits;
  uint64_t epoch;
  if (!reader.Byte(&format) || format != kFormat || !reader.Varint(&epoch) || !reader.Byte(&bits) ||
      bits > (kNote | kMarked)) {
    return malformed();
  }
  StoredRecord stored;
  stored.epoch = Epoch(epoch);
  stored.marked = (bits & kMarked) != 0;
  if ((bits & kNote) != 0) {
    uint64_t actor, incarnation;
    if (!reader.Fixed64(&actor) || !reader.Fixed64(&incarnation)) return malformed();
    stored.note = MintNote{ActorId(actor), Incarnation(incarnation)};
  }
  if (!TakeRecord(&reader, &stored.record) || !reader.done()) return malformed();
  return stored;
}

MintResult ApplyMint(StoredRecord* stored, Mint mint, Incarnation incarnation, const Limits& limits,
                     Random* random) {
  Record& record = stored->record;
  MintResult result;
  result.context = mint.context;

  if (!PlantedBugs::Has(PlantedBug::kRepeatMintsAgain)) {
    for (const Sibling& s : record.siblings) {
      if (!SameRequest(s.request_id, mint.request_id)) continue;
      if (result.verdict == MintVerdict::kMinted) result.dot = s.dot;
      result.verdict = MintVerdict::kRepeated;
      result.context.Add(s.dot);
    }
    if (result.verdict == MintVerdict::kRepeated) return result;
  }

  VersionVector covering = std::move(mint.context);
  if (mint.blind_delete) covering.Merge(record.vector);

  const ActorId actor = ActorFor(*stored, incarnation, random);
  // The context never knows more of this actor than the record does: the actor's dots are durable
  // here before anyone can read them. Should that ever fail, counting on from the higher one is
  // what keeps a new write from passing for one that is already replaced.
  const uint64_t counter = std::max(record.vector.MaxCounter(actor), covering.MaxCounter(actor));
  ANNULUS_CHECK(counter < std::numeric_limits<uint64_t>::max());

  Sibling sibling;
  sibling.dot = Dot{actor, counter + 1};
  sibling.tombstone = mint.tombstone || mint.blind_delete;
  sibling.write_time = mint.write_time;
  sibling.request_id = mint.request_id;
  if (!sibling.tombstone) {
    sibling.expires = mint.expires;
    sibling.value = std::move(mint.value);
  }

  result.verdict = CheckLimits(record, covering, sibling, limits);
  if (result.verdict != MintVerdict::kMinted) return result;

  const bool tombstone = sibling.tombstone;
  result.dot = sibling.dot;
  Write(&record, covering, std::move(sibling));
  stored->note = MintNote{actor, incarnation};

  result.context = std::move(covering);
  result.context.Add(result.dot);
  if (PlantedBugs::Has(PlantedBug::kPutContextCoversAll)) result.context = record.vector;
  if (tombstone && PlantedBugs::Has(PlantedBug::kDeleteForgetsContext)) {
    record = Record();
    stored->note.reset();  // The note goes with the record; without that, dots would be reused too.
  }
  return result;
}

}  // namespace annulus
