#include "node/peers.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "base/check.h"
#include "core/error.h"
#include "task/await.h"
#include "task/sleep.h"

namespace annulus {

Peers::Peers(Env env, NodeId self, Options options)
    : env_(env), self_(self), options_(options), liveness_(options.silence_max) {}

void Peers::Adopt(const Layout& layout, const std::map<std::string, std::string>& address_by_name) {
  version_ = layout.version();
  for (const Member& member : layout.members()) {
    if (member.id == self_ || links_.contains(member.id)) continue;
    auto configured = address_by_name.find(member.name);
    links_[member.id] = env_.transport->Open(
        configured != address_by_name.end() ? configured->second : member.peer_address, member.id);
    pings_.Spawn(Ping(member.id));
  }
}

void Peers::Call(NodeId to, PeerRequest request, Instant deadline, PeerDone done) {
  ANNULUS_CHECK(to != self_);
  auto link = links_.find(to);
  if (link == links_.end()) {
    env_.loop->Post([done = std::move(done)]() mutable {
      done(WithDetails(absl::UnavailableError("not a member of the layout"),
                       {.reason = kReasonNotSent}));
    });
    return;
  }
  liveness_.Asked(to, env_.loop->Now());
  link->second->Call(
      std::move(request), deadline, version_,
      [this, to, done = std::move(done)](PeerResult result) mutable {
        const Instant now = env_.loop->Now();
        const std::string reason = result.ok() ? "" : DetailsOf(result.status()).reason;
        if (absl::IsUnavailable(result.status()) &&
            (reason == kReasonNotSent || reason == kReasonLinkLost)) {
          liveness_.Broken(to);
        } else if (reason == kReasonNotSent || absl::IsDeadlineExceeded(result.status())) {
          liveness_.Missed(to);
        } else {
          liveness_.Heard(to, now);
        }
        done(std::move(result));
      });
}

std::vector<NodeId> Peers::InAskingOrder(const std::vector<NodeId>& nodes) const {
  std::vector<NodeId> ordered = liveness_.Order(nodes, env_.loop->Now());
  auto self = std::find(ordered.begin(), ordered.end(), self_);
  if (self != ordered.end()) std::rotate(ordered.begin(), self, self + 1);
  return ordered;
}

Liveness::State Peers::StateOf(NodeId node) const {
  return liveness_.StateOf(node, env_.loop->Now());
}

Incarnation Peers::IncarnationOf(NodeId node) const {
  auto found = incarnations_.find(node);
  return found == incarnations_.end() ? Incarnation{} : found->second;
}

Task<void> Peers::Ping(NodeId node) {
  while (true) {
    const Instant started = env_.loop->Now();
    PeerResult result = co_await Await<PeerResult>([&](auto done) {
      Call(node, PingRequest{}, started + options_.ping_timeout, std::move(done));
    });
    if (result.ok()) incarnations_[node] = std::get<PingReply>(*result).incarnation;
    co_await SleepUntil(env_.loop, started + options_.ping_interval);
  }
}

}  // namespace annulus
