#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/time.h"
#include "core/reap/epochs.h"
#include "core/ring/ring.h"
#include "core/version/stored.h"

namespace annulus {

// From when on the record is dead: once all its siblings are tombstones or have expired (0: all are
// tombstones). Nullopt where that takes another write, or there is no record. An index has those
// that will be, so that nobody looks through live records for dead ones.
std::optional<WallTime> DiesAt(const Record& record);

// Whether it is dead even for clocks that are late by so much.
bool IsDead(std::optional<WallTime> dies_at, WallTime now, Duration clock_skew_max);

// Whether an owner may mark this copy in the round that raised the partition to its present epoch:
// it is dead, and unchanged since before that (DESIGN section 6, step 3). That all owners hold the
// same is for the round's driver to find out.
bool IsEligible(const StoredRecord& stored, const PartitionEpochs& epochs, WallTime now,
                Duration clock_skew_max);

// Where the indexes lie in the meta column family: of records that die, and of marked ones.
Bytes DyingKey(BytesView data_key);
Bytes MarkKey(BytesView data_key);
KeyRange DyingRange(PartitionId partition);
KeyRange MarkRange(PartitionId partition);
// The data key of either. REQUIRES: it is one of them.
BytesView DataKeyOfIndex(BytesView index_key);
// What lies under a DyingKey: when.
Bytes EncodeDiesAt(WallTime dies_at);
// DATA_LOSS where it is no such thing.
absl::StatusOr<WallTime> DecodeDiesAt(BytesView bytes);

}  // namespace annulus
