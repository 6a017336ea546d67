#include "core/quorum/liveness.h"

#include <algorithm>

namespace annulus {

void Liveness::Asked(NodeId id, Instant now) {
  Peer& peer = At(id);
  if (!peer.waiting) {
    peer.waiting = true;
    peer.silent_since = now;
  }
}

void Liveness::Heard(NodeId id, Instant now) {
  Peer& peer = At(id);
  peer.broken = false;
  if (peer.waiting) peer.patience.Answered(now - peer.silent_since, now);
  peer.waiting = false;
  peer.heard_at = now;
}

void Liveness::Broken(NodeId id) { At(id).broken = true; }

void Liveness::Told(NodeId id, Standing standing, Instant now) {
  Peer& peer = At(id);
  if (peer.told == standing) return;
  peer.told = standing;
  peer.told_at = now;
}

Liveness::State Liveness::StateOf(NodeId id, Instant now) const {
  auto found = peers_.find(id);
  if (found == peers_.end()) return State::kUp;
  const Peer& peer = found->second;
  if (peer.broken) return State::kDown;
  const Duration patience = peer.patience.At(now);
  const bool doubted = peer.told != Standing::kAlive && peer.heard_at < peer.told_at &&
                       (peer.heard_at == Instant::min() || now - peer.heard_at > patience);
  if (doubted) return peer.told == Standing::kDead ? State::kDown : State::kSuspect;
  if (peer.waiting && now - peer.silent_since > patience) return State::kSilent;
  return State::kUp;
}

Instant Liveness::HeardAt(NodeId id) const {
  auto found = peers_.find(id);
  return found == peers_.end() ? Instant::min() : found->second.heard_at;
}

Duration Liveness::PatienceWith(NodeId id, Instant now) const {
  auto found = peers_.find(id);
  return found == peers_.end() ? silence_max_ : found->second.patience.At(now);
}

Duration Liveness::SilentFor(NodeId id, Instant now) const {
  auto found = peers_.find(id);
  if (found == peers_.end() || !found->second.waiting) return Duration(0);
  return now - found->second.silent_since;
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
    case Liveness::State::kSuspect:
      return "suspect";
    case Liveness::State::kDown:
      return "down";
  }
  return "?";
}

}  // namespace annulus
