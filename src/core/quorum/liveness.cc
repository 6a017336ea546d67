#include "core/quorum/liveness.h"

#include <algorithm>

namespace annulus {

void Liveness::Asked(NodeId id, Instant now) {
  Peer& peer = peers_[id];
  ++peer.under_way;
  if (!peer.waiting) {
    peer.waiting = true;
    peer.silent_since = now;
  }
}

void Liveness::Heard(NodeId id, Instant now) {
  Peer& peer = peers_[id];
  if (peer.under_way > 0) --peer.under_way;
  peer.broken = false;
  peer.waiting = peer.under_way > 0;
  peer.silent_since = now;
}

void Liveness::Missed(NodeId id) {
  // It stays waiting: only a word from the peer ends its silence.
  Peer& peer = peers_[id];
  if (peer.under_way > 0) --peer.under_way;
}

void Liveness::Broken(NodeId id) {
  Peer& peer = peers_[id];
  if (peer.under_way > 0) --peer.under_way;
  peer.broken = true;
}

Liveness::State Liveness::StateOf(NodeId id, Instant now) const {
  auto found = peers_.find(id);
  if (found == peers_.end()) return State::kUp;
  const Peer& peer = found->second;
  if (peer.broken) return State::kDown;
  if (peer.waiting && now - peer.silent_since > silence_max_) return State::kSilent;
  return State::kUp;
}

std::vector<NodeId> Liveness::Order(std::vector<NodeId> nodes, Instant now) const {
  std::stable_sort(nodes.begin(), nodes.end(),
                   [&](NodeId a, NodeId b) { return StateOf(a, now) < StateOf(b, now); });
  return nodes;
}

std::string_view ToString(Liveness::State state) {
  switch (state) {
    case Liveness::State::kUp:
      return "up";
    case Liveness::State::kSilent:
      return "silent";
    case Liveness::State::kDown:
      return "down";
  }
  return "?";
}

}  // namespace annulus
