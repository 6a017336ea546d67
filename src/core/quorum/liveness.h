#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

#include "base/strong_id.h"
#include "base/time.h"
#include "core/gossip/update.h"
#include "core/quorum/patience.h"

namespace annulus {

// Whom to ask first. It says nothing about who owns what, and a wrong guess costs time only.
//
// A peer is silent when something has been asked of it for `silence_max`, or longer than it is
// usually silent these days (core/quorum/patience.h), and nothing at all was heard from it since
// (what was asked before its last word may simply take long); down when its connection broke and
// nothing was heard since. Where gossip doubts it and it has not been heard for that long, it is
// suspect, or down where gossip calls it dead. One word from it ends each
// of these: what we see ourselves beats what is said. Probes (node/gossip) make sure that something
// is asked of everybody now and then.
class Liveness {
 public:
  enum class State : uint8_t { kUp, kSilent, kSuspect, kDown };

  explicit Liveness(Duration silence_max) : silence_max_(silence_max) {}

  void Asked(NodeId peer, Instant now);
  void Heard(NodeId peer, Instant now);
  void Broken(NodeId peer);
  // What gossip says of it now.
  void Told(NodeId peer, Standing standing, Instant now);

  State StateOf(NodeId peer, Instant now) const;
  // When it last said anything; Instant::min() before it ever did.
  Instant HeardAt(NodeId peer) const;
  // How long it may leave something unanswered, and how long it has; 0 where nothing is.
  Duration PatienceWith(NodeId peer, Instant now) const;
  Duration SilentFor(NodeId peer, Instant now) const;
  // The same nodes: those that are up, then the silent, the suspect, the down, each group in its
  // old order. A node that was never asked (oneself) is up.
  std::vector<NodeId> Order(std::vector<NodeId> nodes, Instant now) const;

 private:
  struct Peer {
    Patience patience;
    bool waiting = false;  // Something has been asked since the last word, first at:
    Instant silent_since;
    Instant heard_at = Instant::min();
    bool broken = false;
    Standing told = Standing::kAlive;
    Instant told_at;
  };

  Peer& At(NodeId peer) {
    return peers_.try_emplace(peer, Peer{.patience = Patience(silence_max_)}).first->second;
  }

  Duration silence_max_;
  std::map<NodeId, Peer> peers_;
};

std::string_view ToString(Liveness::State state);

}  // namespace annulus
