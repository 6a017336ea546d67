#include "node/namesake.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "task/await.h"
#include "task/mailbox.h"
#include "task/sleep.h"

namespace annulus {
namespace {

constexpr Duration kAnswerMax = 500ms;
constexpr Duration kAskInterval = 50ms;

// Nullopt: nobody answers there, or it is this process or another node.
using Found = std::optional<Namesake>;

Task<void> AskAt(NodeContext* node, NodeId id, std::string address, Instant until,
                 Mailbox<Found>::Sender done) {
  std::unique_ptr<Link> link = node->env.transport->Open(address, NodeId());
  Found found;
  while (node->Now() < until) {
    const Instant deadline = std::min(until, node->Now() + kAnswerMax);
    PeerResult result = co_await Await<PeerResult>([&](auto answered) {
      link->Call(IntroduceRequest{}, deadline, LayoutVersion{}, std::move(answered));
    });
    if (result.ok()) {
      const IntroduceReply& reply = std::get<IntroduceReply>(*result);
      if (reply.cluster == node->options.cluster && reply.id == id &&
          reply.incarnation != node->incarnation) {
        found = Namesake{std::move(address), reply.claim, reply.started, reply.incarnation};
      }
      break;
    }
    co_await Sleep(node->env.loop, kAskInterval);
  }
  // Posted, since it can end the flow that owns this one.
  node->env.loop->Post(
      [done, found = std::move(found)]() mutable { done.Deliver(std::move(found)); });
}

}  // namespace

Task<std::optional<Namesake>> FindNamesake(NodeContext* node, NodeId id,
                                           std::set<std::string> addresses, Duration patience) {
  Mailbox<Found> box(node->env.loop);
  TaskGroup local;
  const Instant until = node->Now() + patience;
  size_t under_way = 0;
  for (const std::string& address : addresses) {
    if (address.empty()) continue;
    ++under_way;
    local.Spawn(AskAt(node, id, address, until, box.sender()));
  }
  for (; under_way > 0; --under_way) {
    std::optional<Found> found = co_await box.Next();
    if (found->has_value()) co_return *std::move(found);
  }
  co_return std::nullopt;
}

bool YieldsTo(const NodeContext& node, const Namesake& other) {
  const Claim own = ClaimOf(node);
  if (other.claim != own) return other.claim > own;
  return own != Claim::kNone && std::tuple(other.started, other.incarnation) <
                                    std::tuple(node.started_wall, node.incarnation);
}

Claim ClaimOf(const NodeContext& node) {
  if (!node.refused.empty()) return Claim::kNone;
  return node.layout == nullptr ? Claim::kStarting : Claim::kServing;
}

}  // namespace annulus
