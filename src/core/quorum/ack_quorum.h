#pragma once

#include <cstdint>
#include <vector>

#include "base/strong_id.h"

namespace annulus {

// From one function, a verdict has three values (the habit is etcd raft's quorum package): more
// answers can only turn kPending into one of the others, which are final.
enum class Verdict : uint8_t { kPending, kWon, kLost };

// Counts distinct nodes that said yes, out of those that were asked.
class AckQuorum {
 public:
  // REQUIRES: 1 <= required. With fewer candidates than that, it is lost from the start.
  AckQuorum(uint32_t required, std::vector<NodeId> candidates);

  // Each node counts once, whatever it says again; a yes after a no counts, since a node may be
  // asked again. Nodes that are no candidates are ignored.
  void Ack(NodeId node);
  void Refuse(NodeId node);

  Verdict verdict() const;
  bool HasAcked(NodeId node) const;
  uint32_t acks() const { return acks_; }

 private:
  enum class State : uint8_t { kAsked, kAcked, kRefused };
  struct Candidate {
    NodeId node;
    State state = State::kAsked;
  };

  uint32_t required_;
  uint32_t acks_ = 0;
  uint32_t refusals_ = 0;
  std::vector<Candidate> candidates_;
};

}  // namespace annulus
