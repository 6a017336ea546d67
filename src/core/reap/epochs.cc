#include "core/reap/epochs.h"

#include <algorithm>

#include "base/checksum.h"
#include "base/planted.h"

namespace annulus {
namespace {

// Format 1 has nothing reserved.
constexpr uint8_t kFormat = 2;

}  // namespace

// Rule STAMP.
bool PartitionEpochs::Accepts(Epoch stamp) const {
  return stamp >= closed || PlantedBugs::Has(PlantedBug::kStampIgnored);
}

Bytes Encode(const PartitionEpochs& epochs) {
  Bytes bytes;
  bytes.push_back(static_cast<char>(kFormat));
  PutVarint(&bytes, epochs.current.value());
  PutVarint(&bytes, epochs.closed.value());
  bytes.push_back(static_cast<char>(epochs.rebuilding));
  PutVarint(&bytes, epochs.reserved.value());
  AppendChecksum(&bytes);
  return bytes;
}

absl::StatusOr<PartitionEpochs> DecodeEpochs(BytesView bytes) {
  const absl::Status damaged = absl::DataLossError("a partition's epochs are damaged");
  const std::optional<BytesView> body = TakeChecksum(bytes);
  if (!body.has_value()) return damaged;
  ByteReader reader(*body);
  uint8_t format, rebuilding;
  uint64_t current, closed, reserved;
  if (!reader.Byte(&format) || format == 0 || format > kFormat || !reader.Varint(&current) ||
      !reader.Varint(&closed) || !reader.Byte(&rebuilding) || rebuilding > 1) {
    return damaged;
  }
  reserved = current;
  if ((format > 1 && !reader.Varint(&reserved)) || !reader.done()) return damaged;
  return PartitionEpochs{Epoch(current), Epoch(closed), rebuilding == 1, Epoch(reserved)};
}

PartitionEpochs Together(const PartitionEpochs& a, const PartitionEpochs& b) {
  return {std::max(a.current, b.current), std::max(a.closed, b.closed)};
}

PartitionEpochs Highest(const PartitionEpochs& a, const PartitionEpochs& b) {
  return {std::max(a.current, b.current), std::max(a.closed, b.closed),
          a.rebuilding || b.rebuilding, std::max(a.reserved, b.reserved)};
}

bool MustLearnAgain(const PartitionEpochs& own, const PartitionEpochs& other) {
  return own.current < other.closed;
}

Lesson LearnAsOwner(const PartitionEpochs& own, const PartitionEpochs& others) {
  Lesson lesson{.epochs = own, .serves = true};
  // Rule SET_ASIDE_OLD_DISK.
  lesson.set_aside =
      own.current < others.closed && !PlantedBugs::Has(PlantedBug::kOldDiskNotSetAside);
  lesson.epochs.rebuilding |= lesson.set_aside;
  lesson.epochs.current = std::max(own.current, others.current);
  lesson.epochs.closed = std::max(own.closed, others.closed);
  return lesson;
}

Lesson LearnAsOther(const PartitionEpochs& own, const PartitionEpochs& owner) {
  Lesson lesson{.epochs = own};
  lesson.epochs.closed = std::max(own.closed, owner.closed);
  lesson.epochs.current = std::max(own.current, owner.closed);
  lesson.serves = lesson.epochs.current >= owner.current;  // Rule NON_OWNER_WAITS.
  return lesson;
}

Epoch EpochAbove(const std::vector<PartitionEpochs>& members) {
  Epoch highest = kFirstEpoch;
  for (const PartitionEpochs& epochs : members) {
    highest = std::max({highest, epochs.current, epochs.reserved});
  }
  return Epoch(highest.value() + 1);
}

}  // namespace annulus
