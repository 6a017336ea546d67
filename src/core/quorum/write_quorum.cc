#include "core/quorum/write_quorum.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/planted.h"

namespace annulus {

WriteQuorum::WriteQuorum(uint32_t required, const std::vector<NodeId>& owners,
                         std::vector<NodeId> fallbacks, NodeId minter, NodeId minter_for)
    : required_(required), minter_(minter), fallbacks_(std::move(fallbacks)) {
  ANNULUS_CHECK(required >= 1);
  for (NodeId owner : owners) {
    Seat& seat = seats_.emplace_back();
    seat.push_back({.node = owner});
    if (owner == minter_for) seat.push_back({.node = minter});
  }
}

WriteQuorum::Sends WriteQuorum::Start(absl::FunctionRef<bool(NodeId)> is_silent) {
  Sends sends;
  for (Seat& seat : seats_) {
    const NodeId owner = seat.front().node;
    if (owner != minter_) sends.push_back({.node = owner});
  }
  for (Seat& seat : seats_) {
    const NodeId owner = seat.front().node;
    // The minter's own sync is under way: it needs nobody in its place.
    if (owner != minter_ && seat.size() == 1 && is_silent(owner)) SitDown(&seat, &sends);
  }
  return sends;
}

WriteQuorum::Sends WriteQuorum::Silence(absl::FunctionRef<bool(NodeId)> may_replace) {
  Sends sends;
  for (Seat& seat : seats_) {
    if (next_fallback_ == fallbacks_.size()) break;
    if (seat.front().node == minter_ || HasAck(seat)) continue;
    if (may_replace(seat.back().node)) SitDown(&seat, &sends);
  }
  return sends;
}

void WriteQuorum::Ack(NodeId node) {
  Holder* holder = Find(node);
  if (holder == nullptr) return;
  if (holder->state == State::kAcked && PlantedBugs::Has(PlantedBug::kQuorumCountsTwice)) {
    ++counted_twice_;
  }
  holder->state = State::kAcked;
}

WriteQuorum::Sends WriteQuorum::Refuse(NodeId node) {
  Sends sends;
  Seat* seat = nullptr;
  Holder* holder = Find(node, &seat);
  if (holder == nullptr || holder->state != State::kAsked) return sends;
  holder->state = State::kRefused;
  const bool hopeless = std::all_of(seat->begin(), seat->end(), [](const Holder& other) {
    return other.state == State::kRefused;
  });
  if (hopeless) SitDown(seat, &sends);
  return sends;
}

Verdict WriteQuorum::verdict() const {
  const Acks acked = acks();
  if (acked.primaries + acked.fallbacks >= required_) return Verdict::kWon;
  size_t possible = fallbacks_.size() - next_fallback_;
  for (const Seat& seat : seats_) {
    for (const Holder& holder : seat) possible += holder.state != State::kRefused;
  }
  return possible < required_ ? Verdict::kLost : Verdict::kPending;
}

Acks WriteQuorum::acks() const {
  Acks acks{.primaries = counted_twice_, .required = required_};
  for (const Seat& seat : seats_) {
    for (const Holder& holder : seat) {
      if (holder.state != State::kAcked) continue;
      const bool primary =
          &holder == &seat.front() || PlantedBugs::Has(PlantedBug::kFallbackCountsAsPrimary);
      ++(primary ? acks.primaries : acks.fallbacks);
    }
  }
  return acks;
}

bool WriteQuorum::IsCovered(NodeId owner) const {
  for (const Seat& seat : seats_) {
    if (seat.front().node == owner) return HasAck(seat);
  }
  return false;
}

WriteQuorum::Holder* WriteQuorum::Find(NodeId node, Seat** in) {
  for (Seat& seat : seats_) {
    for (Holder& holder : seat) {
      if (holder.node != node) continue;
      if (in != nullptr) *in = &seat;
      return &holder;
    }
  }
  return nullptr;
}

bool WriteQuorum::HasAck(const Seat& seat) {
  return std::any_of(seat.begin(), seat.end(),
                     [](const Holder& holder) { return holder.state == State::kAcked; });
}

void WriteQuorum::SitDown(Seat* seat, Sends* sends) {
  if (next_fallback_ == fallbacks_.size()) return;
  const NodeId fallback = fallbacks_[next_fallback_++];
  seat->push_back({.node = fallback});
  sends->push_back({.node = fallback, .hint_for = seat->front().node});
}

}  // namespace annulus
