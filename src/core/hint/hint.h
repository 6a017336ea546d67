#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/strong_id.h"
#include "core/version/stored.h"

namespace annulus {

// What a node keeps for another, its target, which did not answer. One of two:
//
// - a record, at a fallback, which owns nothing of the item. Its epoch is the stamp with which it
//   is replayed: the lowest of all that was merged into it (DESIGN section 6).
// - a pointer, at an owner: "the target lacks what I hold of this item". The owner's own record is
//   what is replayed. The serial number differs each time it is written, so that one that was
//   written again while it was replayed is not taken for the old one.
struct Hint {
  // It stood for its target in an acknowledgement: it goes only when the target has confirmed it.
  bool counted = false;
  uint64_t pointer = 0;  // 0: it is a record.
  StoredRecord stored;   // Of a pointer: empty.

  bool operator==(const Hint&) const = default;
};

// With a checksum. Short, malformed or altered bytes are DATA_LOSS.
Bytes Encode(const Hint& hint);
absl::StatusOr<Hint> DecodeHint(BytesView bytes);

// Where it lies in the hint column family: the target (8 bytes, big-endian), then the data key.
Bytes HintKey(NodeId target, BytesView data_key);
struct ParsedHintKey {
  NodeId target;
  Bytes data_key;
};
// Bytes that are no hint key are DATA_LOSS.
absl::StatusOr<ParsedHintKey> ParseHintKey(BytesView bytes);
// The first key behind those of the target.
Bytes HintsEnd(NodeId target);

// Bytes, keys included.
struct HintLimits {
  uint64_t bytes_max = uint64_t{1} << 30;
  uint64_t bytes_per_target_max = uint64_t{512} << 20;
};

// How much is kept, for whom.
class HintLedger {
 public:
  struct Account {
    uint64_t entries = 0;
    uint64_t bytes = 0;
  };

  explicit HintLedger(HintLimits limits) : limits_(limits) {}

  // Whether so many bytes more may be kept.
  bool Admits(NodeId target, uint64_t bytes) const;
  // A hint of `bytes_before` (0: there was none) became one of `bytes_after` (0: it went).
  void Changed(NodeId target, uint64_t bytes_before, uint64_t bytes_after);

  Account AccountOf(NodeId target) const;
  Account total() const { return total_; }

 private:
  HintLimits limits_;
  Account total_;
  std::map<NodeId, Account> accounts_;
};

}  // namespace annulus
