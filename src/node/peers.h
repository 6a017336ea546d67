#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/layout/layout.h"
#include "core/quorum/latency.h"
#include "core/quorum/liveness.h"
#include "core/quorum/progress.h"
#include "core/quorum/retry_budget.h"
#include "env/env.h"

namespace annulus {

// The lines to the other members, and what is known of their health. Every call goes through here,
// since every answer, and every silence, says something about a peer.
class Peers {
 public:
  Peers(Env env, NodeId self, Duration silence_max);

  // Opens lines to the layout's other members, at the addresses that `address_by_name` gives where
  // it names the member (the configuration is fresher than the layout; gossip is fresher still).
  void Adopt(const Layout& layout, const std::map<std::string, std::string>& address_by_name);

  // As Link::Call. NOT_SENT for a node that is no member. REQUIRES: to is not this node.
  void Call(NodeId to, PeerRequest request, Instant deadline, PeerDone done);

  // Whether a request that a peer has had, or refused, may be sent again; it is then paid for out
  // of what has succeeded (core/quorum/retry_budget.h).
  bool MayRepeat() { return repeats_.Take(); }
  // Whether another may be asked as well, since one of these has said nothing for so long: not
  // where that is as usual, freely where one that is late serves nobody, else out of a budget: a
  // message may have been lost (core/quorum/progress.h).
  bool MayAskAnother(const std::vector<NodeId>& awaited, PeerProgress::Kind kind, Duration waited);
  // How long it means nothing that it leaves a request unanswered.
  Duration PatienceWith(NodeId node, PeerProgress::Kind kind) const {
    return progress_.PatienceWith(node, kind, env_.loop->Now());
  }

  // Oneself first where it is among them, then as Liveness::Order says; of those that are up, the
  // slow ones last.
  std::vector<NodeId> InAskingOrder(const std::vector<NodeId>& nodes) const;
  Liveness::State StateOf(NodeId node) const;
  // As Liveness says.
  Instant HeardAt(NodeId node) const { return liveness_.HeardAt(node); }
  Duration SilentFor(NodeId node) const;
  // The highest sequence number with which the node ever acknowledged anything.
  uint64_t SequenceOf(NodeId node) const;

  // What gossip says of a member, and what follows for its line. REQUIRES: a member.
  void Told(NodeId node, Standing standing);
  const std::string& AddressOf(NodeId node) const { return lines_.at(node).address; }
  bool Connected(NodeId node) const { return lines_.at(node).link->Connected(); }
  // A connection stands, and nothing that was asked over it waits for long.
  bool InTouch(NodeId node) const;
  void Redial(NodeId node);
  void MoveTo(NodeId node, std::string address);

 private:
  std::vector<NodeId> InOrderOfHealth(const std::vector<NodeId>& nodes) const;

  struct Line {
    std::string address;
    std::unique_ptr<Link> link;
  };

  Env env_;
  NodeId self_;
  LayoutVersion version_;
  Liveness liveness_;
  PeerLatencies latencies_;
  PeerProgress progress_;
  RetryBudget repeats_;
  // For what was asked of peers that serve others. Small: where all are late, nothing is lost.
  RetryBudget doubles_{/*successes_per_token=*/50};
  std::map<NodeId, Line> lines_;
  std::map<NodeId, uint64_t> sequences_;
};

}  // namespace annulus
