#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/strong_id.h"
#include "core/version/stored.h"

namespace annulus {

// Where a member stands in the reaping of one partition (DESIGN section 6). Durable.
//
// The protocol stands, exhaustively checked, in docs/models/reaping.pml. Where the code keeps one
// of its rules, a comment names it: "Rule STAMP" is what -DWITHOUT_STAMP takes out there.
//
// Every record that is sent, or kept as a hint, is stamped with the lowest epoch of the copies it
// was read from, at the read. A stamp below `closed` is refused: its sender read before a round in
// which a tombstone may have been deleted, so that what it sends may be what that had covered.
struct PartitionEpochs {
  // Of an owner: the stamp of what is read here. Of another member: the highest that it has noted,
  // the stamp of what it mints in an owner's place.
  Epoch current = kFirstEpoch;
  Epoch closed = kFirstEpoch;
  // The copy may lack anything (its disk was wiped, restored, set aside, or damaged): it takes
  // writes, and counts for no read, until it has merged what the other owners hold.
  bool rebuilding = false;
  // Of a driver: the highest epoch to which it was about to raise others. It knows of it before any
  // of them does, and raises itself last, so that whatever a stamp says is known to two disks:
  // where one is lost, no epoch begins again. (A stamp of the lost one may still be under way, and
  // would be taken for one of the new round.) docs/models has no epoch twice, and so no such rule.
  Epoch reserved = kFirstEpoch;

  bool Accepts(Epoch stamp) const;

  bool operator==(const PartitionEpochs&) const = default;
};

// With a checksum. Short, malformed or altered bytes are DATA_LOSS.
Bytes Encode(const PartitionEpochs& epochs);
absl::StatusOr<PartitionEpochs> DecodeEpochs(BytesView bytes);

// What a member has to do that has started and is told the epochs of an owner. Until it was told,
// it mints, takes and answers nothing in that partition: its disk may be an older copy of itself.
struct Lesson {
  PartitionEpochs epochs;  // What it is to note durably.
  // An owner whose epoch others have closed runs on an old disk: all that it holds of the partition
  // goes, since what it holds may have been deleted, and it rebuilds.
  bool set_aside = false;
  // It may begin. Else it waits to be told again.
  bool serves = false;
};
// `others`: what the other owners say, together (Together).
Lesson LearnAsOwner(const PartitionEpochs& own, const PartitionEpochs& others);
// Of a member that is no owner. Its hints below `owner.closed` are to be dropped first: they had
// been delivered, or nobody would have closed. One that is told of an epoch above what it noted may
// have forgotten that it noted it, and what it reported: it waits for the next round.
Lesson LearnAsOther(const PartitionEpochs& own, const PartitionEpochs& owner);

// The highest of what several owners say: one of them may have started itself, on an older disk,
// and know no better yet.
PartitionEpochs Together(const PartitionEpochs& a, const PartitionEpochs& b);
// What one member knows that has noted both.
PartitionEpochs Highest(const PartitionEpochs& a, const PartitionEpochs& b);
// Whether an owner that serves must be told again: others have closed what it has not even raised,
// which happens in no round that it took part in. Its disk was older than whoever told it knew.
bool MustLearnAgain(const PartitionEpochs& own, const PartitionEpochs& other);

// The epoch of a new round: above all that any member has seen, or reserved.
Epoch EpochAbove(const std::vector<PartitionEpochs>& members);

}  // namespace annulus
