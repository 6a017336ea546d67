#include "node/peers.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "base/check.h"
#include "core/error.h"

namespace annulus {
namespace {

// Nullopt for what says nothing about a peer's readiness to serve.
std::optional<PeerProgress::Kind> ProgressOf(const PeerRequest& request) {
  if (std::holds_alternative<ReadRequest>(request)) return PeerProgress::Kind::kRead;
  if (std::holds_alternative<ForwardRequest>(request) ||
      std::holds_alternative<ReplicateRequest>(request)) {
    return PeerProgress::Kind::kWrite;
  }
  return std::nullopt;
}

}  // namespace

Peers::Peers(Env env, NodeId self, Duration silence_max)
    : env_(env), self_(self), liveness_(silence_max), progress_(silence_max) {}

void Peers::Adopt(const Layout& layout, const std::map<std::string, std::string>& address_by_name) {
  version_ = layout.version();
  for (const Member& member : layout.members()) {
    if (member.id == self_ || lines_.contains(member.id)) continue;
    auto configured = address_by_name.find(member.name);
    Line& line = lines_[member.id];
    line.address = configured != address_by_name.end() ? configured->second : member.peer_address;
    line.link = env_.transport->Open(line.address, member.id);
  }
}

void Peers::Call(NodeId to, PeerRequest request, Instant deadline, PeerDone done) {
  ANNULUS_CHECK(to != self_);
  auto line = lines_.find(to);
  if (line == lines_.end()) {
    env_.loop->Post([done = std::move(done)]() mutable {
      done(WithDetails(absl::UnavailableError("not a member of the layout"),
                       {.reason = kReasonNotSent}));
    });
    return;
  }
  const Instant asked = env_.loop->Now();
  // What waits for no disk tells how far away a peer is.
  const bool measures =
      std::holds_alternative<ReadRequest>(request) || std::holds_alternative<PingRequest>(request);
  const std::optional<PeerProgress::Kind> progress = ProgressOf(request);
  liveness_.Asked(to, asked);
  line->second.link->Call(
      std::move(request), deadline, version_,
      [this, to, asked, measures, progress, done = std::move(done)](PeerResult result) mutable {
        const Instant now = env_.loop->Now();
        if (result.ok()) {
          repeats_.Succeeded();
          doubles_.Succeeded();
          if (progress.has_value()) progress_.Served(to, *progress, now - asked, now);
        }
        if (result.ok() && std::holds_alternative<ReplicateReply>(*result)) {
          uint64_t& sequence = sequences_[to];
          sequence = std::max(sequence, std::get<ReplicateReply>(*result).sequence);
        }
        const std::string reason = result.ok() ? "" : DetailsOf(result.status()).reason;
        if (absl::IsUnavailable(result.status()) &&
            (reason == kReasonNotSent || reason == kReasonLinkLost)) {
          liveness_.Broken(to);
        } else if (reason != kReasonNotSent && !absl::IsDeadlineExceeded(result.status())) {
          liveness_.Heard(to, now);  // Only a word from the peer itself ends its silence.
          if (measures) latencies_.Answered(to, now - asked);
        }
        done(std::move(result));
      });
}

std::vector<NodeId> Peers::InAskingOrder(const std::vector<NodeId>& nodes) const {
  const Instant now = env_.loop->Now();
  const bool all_well = std::all_of(nodes.begin(), nodes.end(), [&](NodeId node) {
    return liveness_.StateOf(node, now) == Liveness::State::kUp && !latencies_.IsSlow(node);
  });
  std::vector<NodeId> ordered = all_well ? nodes : InOrderOfHealth(nodes);
  auto self = std::find(ordered.begin(), ordered.end(), self_);
  if (self != ordered.end()) std::rotate(ordered.begin(), self, self + 1);
  return ordered;
}

std::vector<NodeId> Peers::InOrderOfHealth(const std::vector<NodeId>& nodes) const {
  std::vector<NodeId> ordered = liveness_.Order(nodes, env_.loop->Now());
  auto first_not_up = std::find_if(ordered.begin(), ordered.end(), [this](NodeId node) {
    return StateOf(node) != Liveness::State::kUp;
  });
  std::stable_partition(ordered.begin(), first_not_up,
                        [this](NodeId node) { return !latencies_.IsSlow(node); });
  return ordered;
}

bool Peers::MayAskAnother(const std::vector<NodeId>& awaited, PeerProgress::Kind kind,
                          Duration waited) {
  const Instant now = env_.loop->Now();
  bool one_is_late = awaited.empty();
  for (NodeId node : awaited) {
    if (waited < progress_.PatienceWith(node, kind, now)) continue;
    if (!progress_.IsServing(node, kind, now)) return true;
    one_is_late = true;
  }
  return one_is_late && (awaited.empty() || doubles_.Take());
}

Liveness::State Peers::StateOf(NodeId node) const {
  return liveness_.StateOf(node, env_.loop->Now());
}

Duration Peers::SilentFor(NodeId node) const { return liveness_.SilentFor(node, env_.loop->Now()); }

uint64_t Peers::SequenceOf(NodeId node) const {
  const auto found = sequences_.find(node);
  return found == sequences_.end() ? 0 : found->second;
}

void Peers::Told(NodeId node, Standing standing) {
  liveness_.Told(node, standing, env_.loop->Now());
}

bool Peers::InTouch(NodeId node) const {
  return Connected(node) && SilentFor(node) <= liveness_.PatienceWith(node, env_.loop->Now());
}

void Peers::Redial(NodeId node) {
  const Line& line = lines_.at(node);
  line.link->Redial(line.address);
}

void Peers::MoveTo(NodeId node, std::string address) {
  lines_.at(node).address = std::move(address);
  Redial(node);
}

}  // namespace annulus
