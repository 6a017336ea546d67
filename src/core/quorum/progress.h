#pragma once

#include <array>
#include <cstdint>
#include <map>

#include "base/strong_id.h"
#include "base/time.h"
#include "core/quorum/patience.h"

namespace annulus {

// Whether a peer that lets one request wait is late as usual, and whether it serves others
// meanwhile. One that serves nobody is down, or stuck, and another is asked in its place; one that
// serves has much to do, and to ask another as well makes more of it. Reads and writes apart: a
// disk may hang where memory answers.
class PeerProgress {
 public:
  enum class Kind : uint8_t { kRead, kWrite };

  explicit PeerProgress(Duration patience_least) : patience_least_(patience_least) {}

  void Served(NodeId peer, Kind kind, Duration took, Instant now) {
    Peer& served =
        peers_[Index(kind)].try_emplace(peer, Peer{Patience(patience_least_), now}).first->second;
    served.patience.Answered(took, now);
    served.at = now;
  }
  // How long its silence means nothing.
  Duration PatienceWith(NodeId peer, Kind kind, Instant now) const {
    const Peer* served = Find(peer, kind);
    return served == nullptr ? patience_least_ : served->patience.At(now);
  }
  // Within that time.
  bool IsServing(NodeId peer, Kind kind, Instant now) const {
    const Peer* served = Find(peer, kind);
    return served != nullptr && now - served->at < served->patience.At(now);
  }

 private:
  struct Peer {
    Patience patience;
    Instant at;
  };
  static size_t Index(Kind kind) { return static_cast<size_t>(kind); }
  const Peer* Find(NodeId peer, Kind kind) const {
    const auto found = peers_[Index(kind)].find(peer);
    return found == peers_[Index(kind)].end() ? nullptr : &found->second;
  }

  Duration patience_least_;
  std::array<std::map<NodeId, Peer>, 2> peers_;
};

}  // namespace annulus
