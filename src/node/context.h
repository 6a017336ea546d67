#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "core/layout/layout.h"
#include "core/quorum/admission.h"
#include "core/quorum/latency.h"
#include "core/ring/ring.h"
#include "core/version/token.h"
#include "env/env.h"
#include "node/epochs.h"
#include "node/gossip.h"
#include "node/node.h"
#include "node/peers.h"
#include "node/replica.h"
#include "task/spawn.h"

namespace annulus {

class AntiEntropy;
class Reaper;

// What every flow of a node may use. The node owns it and outlives its flows.
struct NodeContext {
  Env env;
  NodeOptions options;
  TokenKeys tokens;
  NodeId id;
  Incarnation incarnation;
  Instant started;
  WallTime started_wall;
  // Null in a coordinator, which owns nothing; and so are the next ones.
  std::unique_ptr<Epochs> epochs;
  std::unique_ptr<Replica> replica;
  AntiEntropy* anti_entropy = nullptr;
  Reaper* reaper = nullptr;
  std::unique_ptr<Peers> peers;
  std::unique_ptr<Gossiper> gossip;
  // The layout as it was found, while this node makes sure that it may serve under it.
  std::shared_ptr<const Layout> joining;
  std::shared_ptr<const Layout> layout;  // Null while it does not serve yet; flows take a copy.
  std::string not_ready_reason;          // Why there is no layout yet.
  // Why nobody is served, where another process has this node's id; empty: none is known.
  std::string refused;
  bool fresh = false;  // This node was made in this process: nobody can remember it.
  // As Identity says. `on_rebuild_all` is called when that is found (and durable) while this node
  // serves already.
  uint64_t sequence_base = 0;
  bool rebuild_all = false;
  absl::AnyInvocable<void()> on_rebuild_all;
  std::vector<std::string> notices;  // What an operator should know, while it is so.
  EventSink events;
  NodeCounters counters;
  std::unique_ptr<Admission> admission;
  HedgeBudget hedges{Duration(0)};
  // Flows that nobody waits for. Last: they end before what they use.
  std::unique_ptr<TaskGroup> background = std::make_unique<TaskGroup>();

  Instant Now() const { return env.loop->Now(); }
  // What this node says of its disk; 0 for a coordinator.
  uint64_t Sequence() const {
    return env.storage == nullptr ? 0 : env.storage->Sequence() + sequence_base;
  }
  // One that must not serve, since another process has its id, owns nothing.
  bool Owns(PartitionId partition) const {
    return layout != nullptr && refused.empty() && layout->Owns(id, partition);
  }
  // REQUIRES: there is a layout.
  PartitionId PartitionOf(const Item& item) const {
    return annulus::PartitionOf(RingHash(item.bucket, item.key), layout->partitions());
  }
  // Who may take the place of the partition's owners: the next nodes of its preference list, those
  // first that answer these days. REQUIRES: there is a layout.
  std::vector<NodeId> FallbacksOf(PartitionId partition) const {
    constexpr size_t kFallbacksMax = 6;
    return peers->InAskingOrder(layout->Fallbacks(partition, kFallbacksMax));
  }
  // Whether a request that arrived then should count on this peer no more.
  bool IsUnreachable(NodeId peer, Instant arrived) const {
    return peers->StateOf(peer) == Liveness::State::kDown &&
           Now() - arrived > options.unreachable_max;
  }
  // To a request about a partition that is not this node's.
  absl::Status NotOwner(PartitionId partition) const {
    return WithDetails(absl::FailedPreconditionError(
                           absl::StrCat(options.name, " does not own partition ", partition.value(),
                                        " under layout ", layout->version().value())),
                       {.reason = "NOT_OWNER", .outcome = Outcome::kNotApplied});
  }
  // For people.
  std::string NameOf(NodeId node) const {
    const Member* member = layout == nullptr ? nullptr : layout->FindMember(node);
    return member == nullptr ? ToHex(node) : member->name;
  }
};

}  // namespace annulus
