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

  // Hears what the others say, and says nothing: a process that may turn out to be nobody must not
  // be taken for a member. REQUIRES: Peers has adopted the layout.
  void Listen(const Layout& layout);
  // Tells every other member of this process at once, then probes one after the other.
  // REQUIRES: Peers has adopted the layout.
  void Adopt(const Layout& layout);
  // Says nothing from now on.
  void FallSilent() { speaks_ = false; }

  // What this node says of itself; the next probe carries it.
  const MemberFacts& own() const { return gossip_.own().facts; }
  void SetOwn(MemberFacts own) { gossip_.SetOwn(std::move(own)); }
  // As Gossip says.
  uint64_t SequenceOf(NodeId member) const { return gossip_.SequenceOf(member); }
  std::map<Incarnation, std::string> TakeNamesakes() { return gossip_.TakeNamesakes(); }

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
    bool greeted = false;
    Instant redialled_at = Instant::min();
  };

  Task<void> Run();
  Bytes MessageTo(NodeId receiver) { return speaks_ ? gossip_.MessageTo(receiver) : Bytes(); }
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
  bool speaks_ = false;
  TaskGroup flows_;
};

}  // namespace annulus
