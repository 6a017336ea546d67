#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/random.h"
#include "base/strong_id.h"
#include "core/version/record.h"

namespace annulus {

// Which actor this node mints with in an item, and in which incarnation it drew it. Written in the
// same batch as the mint, so that finding it means that the mint became durable. Never sent.
struct MintNote {
  ActorId actor;
  Incarnation incarnation;
  bool operator==(const MintNote&) const = default;
};

// Where every partition starts.
inline constexpr Epoch kFirstEpoch{1};

// A record as it lies on this node's disk.
struct StoredRecord {
  Record record;
  Epoch epoch =
      kFirstEpoch;  // The partition's epoch when this copy last changed (DESIGN section 6, rule 3).
  std::optional<MintNote> note;
  // A dead record that its owners are about to delete (DESIGN section 6, step 5): in no leaf, sent
  // to nobody unasked, but read until it is gone. Any change, and being sent it, takes the mark
  // off.
  bool marked = false;

  bool operator==(const StoredRecord&) const = default;
};

// With a checksum over all of it. Short, malformed or altered bytes are DATA_LOSS.
Bytes Encode(const StoredRecord& stored);
absl::StatusOr<StoredRecord> DecodeStored(BytesView bytes);

// A client's write before it has a dot.
struct Mint {
  VersionVector context;
  bool blind_delete = false;  // A tombstone that covers whatever the minter holds.
  bool tombstone = false;
  Bytes value;
  WallTime write_time;
  WallTime expires;
  RequestId request_id = {};
};

enum class MintVerdict {
  kMinted,
  kRepeated,  // A sibling with this request id stands: nothing changed, its dot is returned.
  // The record would be over siblings_max with more of them than before, or over record_bytes_max
  // with more bytes than before: nothing changed. A write that makes a record smaller is never
  // refused.
  kTooManySiblings,
  kRecordTooLarge,
};

struct MintResult {
  MintVerdict verdict = MintVerdict::kMinted;
  Dot dot;  // Of the new sibling, or of the one that stands. None where the write was refused.
  // What the client may hand back: its own context plus the dot (kRepeated: plus the dots of all
  // siblings with this request id, which are one write to the client). A blind delete's is what it
  // covered plus its dot: it removed all that knowingly. Unspecified where the write was refused.
  VersionVector context;
};

// Mints in *stored under a new dot. The actor is the noted one if it was drawn in `incarnation`,
// else a new one from `random`; the caller draws a new incarnation whenever a commit failed, so
// that a dot which may have been sent is never minted again (DESIGN section 1, actor).
MintResult ApplyMint(StoredRecord* stored, Mint mint, Incarnation incarnation, const Limits& limits,
                     Random* random);

}  // namespace annulus
