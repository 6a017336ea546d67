#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "base/random.h"
#include "base/strong_id.h"
#include "base/time.h"
#include "task/loop.h"

namespace annulus {

// As this process sees it: what it sends to a peer, requests and replies alike, or what it gets.
enum class FaultDirection : uint8_t { kOut, kIn };

// What happens to messages between this process and one peer, in one direction. It is done to whole
// messages above the connection, which stays up: to a half-open connection belongs a firewall.
struct LinkFault {
  NodeId peer;  // 0: every peer that has no fault of its own in this direction.
  FaultDirection direction = FaultDirection::kOut;
  Duration delay{0};
  Duration jitter{0};             // Up to so much more, evenly spread: messages may overtake.
  double loss = 0;                // The share that is lost, from 0 to 1.
  uint64_t bytes_per_second = 0;  // 0: no limit. Messages queue for it.
};

struct DiskFault {
  Duration commit_delay{0};  // Each commit begins so much later.
  bool full = false;         // Each commit is RESOURCE_EXHAUSTED, and nothing is written.
};

struct ClockFault {
  Duration skew{0};  // Added to the wall clock.
};

using FaultKind = std::variant<LinkFault, DiskFault, ClockFault>;

struct Fault {
  FaultKind kind;
  Instant until = kForever;  // It ends by itself then.
};

// The faults of one process: set by operators, asked by the decorators. One fault for each peer and
// direction, one for the disk, one for the clock; setting one again replaces it.
// REQUIRES: used on the loop's thread.
class FaultPlane {
 public:
  // `loop` outlives it.
  FaultPlane(Loop* loop, Random random) : loop_(loop), random_(random) {}

  void Set(const Fault& fault);
  void Clear() { faults_.clear(); }
  // Those that have not ended, in the order in which they were first set.
  std::vector<Fault> Active() const;

  // How long a message of so many bytes is held, or nullopt: it is lost.
  std::optional<Duration> Carry(NodeId peer, FaultDirection direction, size_t bytes);
  // Defaults where there is no such fault.
  DiskFault disk() const;
  ClockFault clock() const;

 private:
  struct Entry {
    Fault fault;
    Instant line_free;  // When a message may begin to leave, where bytes per second are limited.
  };
  Entry* Find(NodeId peer, FaultDirection direction);
  template <class Kind>
  Kind Only() const;

  Loop* loop_;
  Random random_;
  std::vector<Entry> faults_;
};

}  // namespace annulus
