#include "core/hint/hint.h"

#include <limits>

#include "absl/status/status.h"
#include "base/check.h"
#include "base/checksum.h"

namespace annulus {
namespace {

constexpr uint8_t kFormat = 1;
constexpr uint8_t kCounted = 1;  // A bit.
constexpr size_t kTargetBytes = 8;

}  // namespace

Bytes Encode(const Hint& hint) {
  Bytes bytes;
  bytes.push_back(static_cast<char>(kFormat));
  bytes.push_back(static_cast<char>(hint.counted ? kCounted : 0));
  PutVarint(&bytes, hint.pointer);
  PutSized(&bytes, hint.pointer == 0 ? Encode(hint.stored) : Bytes());
  AppendChecksum(&bytes);
  return bytes;
}

absl::StatusOr<Hint> DecodeHint(BytesView bytes) {
  const std::optional<BytesView> body = TakeChecksum(bytes);
  if (!body.has_value()) {
    return absl::DataLossError("a stored hint failed its checksum: it was cut or altered");
  }
  ByteReader reader(*body);
  uint8_t format = 0, flags = 0;
  Hint hint;
  BytesView stored;
  reader.Byte(&format);
  reader.Byte(&flags);
  reader.Varint(&hint.pointer);
  reader.Sized(&stored);
  if (!reader.done() || format != kFormat || flags > kCounted ||
      (hint.pointer != 0) != stored.empty()) {
    return absl::DataLossError("a stored hint is malformed, or of a newer format");
  }
  hint.counted = flags == kCounted;
  if (hint.pointer != 0) return hint;
  absl::StatusOr<StoredRecord> record = DecodeStored(stored);
  if (!record.ok()) return record.status();
  hint.stored = *std::move(record);
  return hint;
}

Bytes HintKey(NodeId target, BytesView data_key) {
  Bytes key;
  key.reserve(kTargetBytes + data_key.size());
  PutBigEndian64(&key, target.value());
  key.append(data_key);
  return key;
}

absl::StatusOr<ParsedHintKey> ParseHintKey(BytesView bytes) {
  ByteReader reader(bytes);
  uint64_t target = 0;
  if (!reader.BigEndian64(&target) || reader.done()) {
    return absl::DataLossError("a stored hint's key is too short");
  }
  return ParsedHintKey{NodeId(target), Bytes(reader.rest())};
}

Bytes HintsEnd(NodeId target) {
  Bytes end;
  if (target.value() == std::numeric_limits<uint64_t>::max())
    return Bytes(kTargetBytes + 1, '\xff');
  PutBigEndian64(&end, target.value() + 1);
  return end;
}

bool HintLedger::Admits(NodeId target, uint64_t bytes) const {
  return total_.bytes + bytes <= limits_.bytes_max &&
         AccountOf(target).bytes + bytes <= limits_.bytes_per_target_max;
}

void HintLedger::Changed(NodeId target, uint64_t bytes_before, uint64_t bytes_after) {
  Account& account = accounts_[target];
  ANNULUS_CHECK(account.bytes >= bytes_before);
  for (Account* sum : {&account, &total_}) {
    sum->bytes += bytes_after;
    sum->bytes -= bytes_before;
    sum->entries += bytes_after > 0;
    sum->entries -= bytes_before > 0;
  }
}

HintLedger::Account HintLedger::AccountOf(NodeId target) const {
  auto found = accounts_.find(target);
  return found == accounts_.end() ? Account{} : found->second;
}

}  // namespace annulus
