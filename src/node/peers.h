#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/layout/layout.h"
#include "core/quorum/liveness.h"
#include "env/env.h"
#include "task/spawn.h"
#include "task/task.h"

namespace annulus {

// The lines to the other members, and what is known of their health. Every call goes through here,
// since every answer, and every silence, says something about a peer.
class Peers {
 public:
  struct Options {
    Duration silence_max = 150ms;
    Duration ping_interval = 500ms;
    Duration ping_timeout = 2s;
  };

  Peers(Env env, NodeId self, Options options);

  // Opens lines to the layout's other members, at the addresses that `address_of` gives (the
  // configuration's, where it names the member: it is fresher than the layout), and starts to ping.
  void Adopt(const Layout& layout, const std::map<std::string, std::string>& address_by_name);

  // As Link::Call. NOT_SENT for a node that is no member. REQUIRES: to is not this node.
  void Call(NodeId to, PeerRequest request, Instant deadline, PeerDone done);

  // Oneself first where it is among them, then as Liveness::Order says.
  std::vector<NodeId> InAskingOrder(const std::vector<NodeId>& nodes) const;
  Liveness::State StateOf(NodeId node) const;
  // As last heard; 0 while unknown.
  Incarnation IncarnationOf(NodeId node) const;

 private:
  Task<void> Ping(NodeId node);

  Env env_;
  NodeId self_;
  Options options_;
  LayoutVersion version_;
  Liveness liveness_;
  std::map<NodeId, std::unique_ptr<Link>> links_;
  std::map<NodeId, Incarnation> incarnations_;
  TaskGroup pings_;
};

}  // namespace annulus
