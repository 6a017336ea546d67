#pragma once

#include <map>

#include "core/gossip/gossip.h"
#include "core/layout/layout.h"
#include "env/env.h"
#include "node/peers.h"
#include "task/spawn.h"
#include "task/task.h"

namespace annulus {

// Sends what core/gossip decides to send, and passes what it learns on to Peers: whom the others
// doubt, where a member is now, and which line has to be dialled anew.
class Gossiper {
 public:
  Gossiper(Env env, Peers* peers, NodeId self, bool observer, MemberFacts own,
           Gossip::Options options);

  // Tells every other member of this process at once, then probes one after the other.
  // REQUIRES: Peers has adopted the layout.
  void Adopt(const Layout& layout);

  // What this node says of itself; the next probe carries it.
  const MemberFacts& own() const { return gossip_.own().facts; }
  void SetOwn(MemberFacts own) { gossip_.SetOwn(std::move(own)); }

  // As last heard of the member; null for no member, and for oneself.
  const GossipUpdate* Find(NodeId member) const { return gossip_.Find(member); }

  // For peers that ask. DATA_LOSS where the message is malformed.
  absl::StatusOr<PingReply> AnswerPing(NodeId from, const PingRequest& request);
  Task<absl::StatusOr<PingForReply>> AnswerPingFor(NodeId from, PingForRequest request,
                                                   Instant deadline);

 private:
  // What the flow has acted upon.
  struct Seen {
    Incarnation incarnation;
    Standing standing = Standing::kAlive;
    Instant redialled_at = Instant::min();
  };

  Task<void> Run();
  // Pings the member as soon as the line to it stands.
  Task<void> Greet(NodeId member);
  void Ping(NodeId member);
  void AskRelay(const Gossip::Effects::AskRelay& ask);
  absl::Status Take(NodeId from, const Bytes& message);
  void Learn(NodeId member);
  void OnRelayed(NodeId relay, NodeId target, bool reached);

  Env env_;
  Peers* peers_;
  Gossip gossip_;
  std::map<NodeId, Seen> seen_;
  TaskGroup flows_;
};

}  // namespace annulus
