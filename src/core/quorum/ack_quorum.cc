#include "core/quorum/ack_quorum.h"

#include "base/check.h"
#include "base/planted.h"

namespace annulus {

AckQuorum::AckQuorum(uint32_t required, std::vector<NodeId> candidates) : required_(required) {
  ANNULUS_CHECK(required >= 1);
  candidates_.reserve(candidates.size());
  for (NodeId node : candidates) candidates_.push_back({.node = node});
}

void AckQuorum::Ack(NodeId node) {
  for (Candidate& candidate : candidates_) {
    if (candidate.node != node) continue;
    if (candidate.state == State::kAcked) {
      if (PlantedBugs::Has(PlantedBug::kQuorumCountsTwice)) ++acks_;
      return;
    }
    if (candidate.state == State::kRefused) --refusals_;
    candidate.state = State::kAcked;
    ++acks_;
    return;
  }
}

void AckQuorum::Refuse(NodeId node) {
  for (Candidate& candidate : candidates_) {
    if (candidate.node != node || candidate.state != State::kAsked) continue;
    candidate.state = State::kRefused;
    ++refusals_;
    return;
  }
}

bool AckQuorum::HasAcked(NodeId node) const {
  for (const Candidate& candidate : candidates_) {
    if (candidate.node == node) return candidate.state == State::kAcked;
  }
  return false;
}

Verdict AckQuorum::verdict() const {
  if (acks_ >= required_) return Verdict::kWon;
  if (candidates_.size() - refusals_ < required_) return Verdict::kLost;
  return Verdict::kPending;
}

}  // namespace annulus
