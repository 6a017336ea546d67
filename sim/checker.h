#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/history.h"

namespace annulus::sim {

// The promises of DESIGN section 13 that a history can show to be broken.
//
// What may have replaced a value: a write that was not NOT_APPLIED and whose context the client
// knew to cover it; or a blind delete that had not ended when the value's write began, since it
// covers whatever its minter held. Nothing else: a context that covers more than it showed covers
// only what such a write had replaced before. Unknown writes are open for ever: they may take
// effect at any time after they began, or never.
//
// Two strict reads (sloppy=false) in a row never go back in time: what one has shown, so many
// owners hold durably as it asked, and what it must have met and did not show is gone from so many.
// Sloppy reads need show nothing, but for their at_least.
//
// A value that expires may be missing from a moment on that lies its time to live after the write
// began, less twice the error of the clocks; and must not be shown when so much more time has
// passed since its acknowledgement. In between the clocks decide, which are not looked at.
//
// Promise 5 is checked in runs that have one fault at a time: one process, one disk, one clock, one
// link, or all links of one process; with 8 s to recover before the next. There every attempt of a
// read or write at QUORUM must succeed that has 10 s, and was sent to a process that was healthy
// from 8 s before until its end: up, not paused, not draining, its links in order but for one. The
// disk or the clock of that process may be the one that fails. The limits of an item (siblings,
// bytes) are no failure, and neither is a read with at_least, whose value may lie on the failed
// node alone. The workload notes what such attempts end with (`unserved`).
enum class Rule : uint8_t {
  // 1: an acknowledged write is not there at the end, and nothing may have replaced it.
  kLost,
  // 2: a read of r owners misses a write that w had acknowledged, r + w > N; or misses what was
  // shown
  // before, where it asks all owners; or misses what its at_least covers.
  kMissed,
  // 2: a value that nobody wrote to this item, or before it was written.
  kInvented,
  // 2: a value is shown after an acknowledged write whose context covered it: at the end, by a read
  // of r owners with r + w > N, or by one that gave that write as at_least.
  kReturned,
  // 4: a value of a write that said NOT_APPLIED; a failure that does not say how it ended; an
  // acknowledgement with fewer durable owners than were asked for.
  kContradicted,
  // An error whose code the contract does not have for a request that is in order (DESIGN section
  // 3).
  kBadStatus,
  // 1, end to end: an element that was added to a counter's set is in none at the end.
  kElementLost,
  // 5: after the last fault, an item can not be read.
  kUnreachable,
  // 5: a request failed that its quorum could serve (below).
  kUnserved,
  // 2: a value is shown long after it expired.
  kOverdue,
  kCount,
};
std::string_view ToString(Rule rule);

struct Violation {
  Rule rule;
  uint32_t key = 0;
  WriteId write = 0;
  std::string text;
};

struct CheckResult {
  std::vector<Violation> violations;
  // Values shown again after they were replaced, but sent to several minters: promise 2 exempts
  // them.
  uint32_t exempted = 0;
  // Acknowledged writes that are gone, or have no effect any more, because every disk that had them
  // was lost before there was another copy: promise 1 excludes them.
  uint32_t lost_with_disks = 0;
  uint32_t acknowledged_writes = 0;
  // Reads with more than one value, and the most that were shown at once.
  uint32_t sibling_reads = 0;
  uint32_t siblings_max = 0;
};

// In O(operations x siblings), beyond sorting. The history must have ended: final reads included.
CheckResult Check(const History& history);

}  // namespace annulus::sim
