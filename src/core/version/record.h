#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/strong_id.h"
#include "base/time.h"
#include "core/version/item.h"
#include "core/version/vector.h"

namespace annulus {

// The 16 bytes that name a client's write. All zero is no name: it never equals another.
using RequestId = std::array<char, 16>;

// One of several values of an item that no later write has replaced; or a delete (tombstone).
struct Sibling {
  Dot dot;
  bool tombstone = false;
  WallTime write_time;  // Of the minter, for people.
  WallTime expires;     // 0: never. Hides the value from reads; merges ignore it.
  RequestId request_id = {};
  Bytes value;  // Empty for a tombstone.

  bool operator==(const Sibling&) const = default;
};

// Whether both are named, and alike: then they are two mints of one write, told apart by nothing
// that a client could see.
bool SameRequest(const RequestId& a, const RequestId& b);

// What an item holds: every dot that was ever seen, and the siblings that stand.
//
// Invariants: siblings ascend by dot, no dot twice, each covered by the vector. A dot's sibling
// never changes: two records that hold one dot hold the same bytes under it.
struct Record {
  VersionVector vector;
  std::vector<Sibling> siblings;

  bool operator==(const Record&) const = default;
};

// Drops exactly the siblings that the context covers, merges the context into the vector, and adds
// the sibling under its dot. REQUIRES: the vector does not cover sibling.dot.
void Write(Record* record, const VersionVector& context, Sibling sibling);

// Keeps a sibling that both sides hold, or that the other side's vector does not cover.
// Associative, commutative and idempotent. Returns whether *into changed.
bool Merge(Record* into, const Record& from);

// Whether an equal vector and equal dots: then the records are equal (see the invariant).
bool SameVersions(const Record& a, const Record& b);

// Bytes of the record's encoding, without encoding it.
size_t SizeOf(const Record& record);
// The part of them that one sibling takes.
size_t SizeOf(const Sibling& sibling);

// What a read may show at `now`: neither tombstones nor expired values; siblings of one request id
// once, the first by dot; at most `bytes_max` of them by SizeOf (but at least one). `context`
// covers what is shown, together with every dot that no standing sibling carries, tombstones, and
// expired siblings: all of the vector but the siblings that are left out because of `bytes_max`.
struct Shown {
  std::vector<const Sibling*> siblings;  // Into the record that was shown; ascending by dot.
  VersionVector context;
  bool more = false;       // Siblings are left out because of `bytes_max`.
  bool tombstone = false;  // A delete is among the siblings.
};
Shown Show(const Record& record, WallTime now, size_t bytes_max);

// 64 bits over the item, the canonical vector and the dots: equal for equal versions. 0 for an
// empty record, so that XOR with it is how a leaf gains or loses an item.
uint64_t DigestOf(const Item& item, const Record& record);

// The canonical encoding, ending in a checksum that is verified wherever it is decoded: on every
// read from disk and at every hop. A short, malformed or altered encoding is DATA_LOSS.
Bytes Encode(const Record& record);
absl::StatusOr<Record> DecodeRecord(BytesView bytes);

// The same bytes without the checksum, for what holds a record inside something that has its own.
void AppendRecord(Bytes* out, const Record& record);
// False, and *record unspecified, unless the reader holds a canonical encoding at its front.
bool TakeRecord(ByteReader* reader, Record* record);

// The same record with empty values, for scans that want keys alone. It is no valid record to
// merge.
Record WithoutValues(const Record& record);

}  // namespace annulus
