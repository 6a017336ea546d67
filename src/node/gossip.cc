#include "node/gossip.h"

#include <utility>

#include "task/await.h"
#include "task/sleep.h"

namespace annulus {
namespace {

constexpr Duration kPhaseMax = 200ms;
// A late answer to a probe still ends a silence, and still tells what the member knows.
constexpr Duration kPingTimeout = 2s;
// A process that starts greets everybody, and everybody greets one that is back, as soon as the
// line stands; who is not reached in that many tries is left to the probes.
constexpr int kGreetTries = 100;
constexpr Duration kGreetInterval = 10ms;
// A relay's own probe takes its part of this.
constexpr Duration kPingForGrace = 100ms;
// A line that has been silent for so long while others reach its end is dead at one end only
// (half-open). Not again within the second: what is wrong may be slow to mend.
constexpr Duration kHalfOpenAfter = 2s;
constexpr Duration kRedialInterval = 5s;

}  // namespace

Gossiper::Gossiper(Env env, Peers* peers, NodeId self, bool observer, MemberFacts own,
                   Gossip::Options options)
    : env_(env), peers_(peers), gossip_(self, observer, std::move(own), options) {}

void Gossiper::Listen(const Layout& layout) {
  std::vector<NodeId> members;
  for (const Member& member : layout.members()) members.push_back(member.id);
  gossip_.SetMembers(members);
  MemberFacts own = this->own();
  own.layout_version = layout.version();
  SetOwn(std::move(own));
  for (const NodeId member : members) {
    if (gossip_.Find(member) != nullptr) seen_.try_emplace(member);
  }
}

void Gossiper::Adopt(const Layout& layout) {
  Listen(layout);
  const bool starts = !std::exchange(speaks_, true);
  for (auto& [member, seen] : seen_) {
    if (!std::exchange(seen.greeted, true)) flows_.Spawn(Greet(member));
  }
  if (starts) flows_.Spawn(Run());
}

Task<void> Gossiper::Run() {
  // Not all at once where all start together, and not before the lines stand.
  co_await Sleep(env_.loop, kGreetInterval + Duration(env_.random->Below(kPhaseMax.count())));
  while (speaks_) {
    for (const auto& [member, seen] : seen_) {
      gossip_.Heard(member, peers_->HeardAt(member));
      // Does it not answer, or is what it does for us only slow?
      if (peers_->StateOf(member) == Liveness::State::kSilent) gossip_.ProbeSoon(member);
    }
    const Gossip::Effects effects = gossip_.Tick(env_.loop->Now(), env_.random);
    for (const NodeId changed : gossip_.TakeChanged()) Learn(changed);
    if (effects.probe.has_value()) Ping(*effects.probe);
    for (const Gossip::Effects::AskRelay& ask : effects.ask) AskRelay(ask);
    co_await SleepUntil(env_.loop, gossip_.NextTick());
  }
}

Task<void> Gossiper::Greet(NodeId member) {
  for (int tries = 0; tries < kGreetTries && speaks_; ++tries) {
    if (peers_->Connected(member)) {
      Ping(member);
      co_return;
    }
    co_await Sleep(env_.loop, kGreetInterval);
  }
}

void Gossiper::Ping(NodeId member) {
  peers_->Call(member, PingRequest{MessageTo(member)}, env_.loop->Now() + kPingTimeout,
               [this, member](PeerResult result) {
                 if (!result.ok()) return;
                 // What is malformed ends there; that it answered has been noted.
                 Take(member, std::get<PingReply>(*result).gossip).IgnoreError();
               });
}

void Gossiper::AskRelay(const Gossip::Effects::AskRelay& ask) {
  PingForRequest request{
      .target = ask.target, .timeout = ask.timeout, .gossip = MessageTo(ask.relay)};
  peers_->Call(ask.relay, std::move(request), env_.loop->Now() + ask.timeout + kPingForGrace,
               [this, relay = ask.relay, target = ask.target](PeerResult result) {
                 if (result.ok()) OnRelayed(relay, target, std::get<PingForReply>(*result).reached);
               });
}

void Gossiper::OnRelayed(NodeId relay, NodeId target, bool reached) {
  gossip_.RelayAnswered(relay, target, reached);
  Seen& seen = seen_[target];
  const Instant now = env_.loop->Now();
  if (!reached || peers_->SilentFor(target) < kHalfOpenAfter) return;
  if (seen.redialled_at != Instant::min() && now - seen.redialled_at < kRedialInterval) return;
  seen.redialled_at = now;
  peers_->Redial(target);
}

absl::StatusOr<PingReply> Gossiper::AnswerPing(NodeId from, const PingRequest& request) {
  if (absl::Status taken = Take(from, request.gossip); !taken.ok()) return taken;
  // It talks to us; whether it also answers us is to be found out.
  if (gossip_.Find(from) != nullptr && peers_->StateOf(from) != Liveness::State::kUp) {
    gossip_.ProbeSoon(from);
  }
  return PingReply{MessageTo(from)};
}

Task<absl::StatusOr<PingForReply>> Gossiper::AnswerPingFor(NodeId from, PingForRequest request,
                                                           Instant deadline) {
  if (absl::Status taken = Take(from, request.gossip); !taken.ok()) co_return taken;
  if (gossip_.Find(request.target) == nullptr) {  // No other member.
    co_return PingForReply{.reached = request.target == gossip_.own().node};
  }
  deadline = std::min(deadline, env_.loop->Now() + request.timeout);
  PingRequest ping{MessageTo(request.target)};
  PeerResult result = co_await Await<PeerResult>(
      [&](auto done) { peers_->Call(request.target, std::move(ping), deadline, std::move(done)); });
  if (!result.ok()) co_return PingForReply{.reached = false};
  Take(request.target, std::get<PingReply>(*result).gossip).IgnoreError();
  co_return PingForReply{.reached = true};
}

absl::Status Gossiper::Take(NodeId from, const Bytes& message) {
  absl::Status status = gossip_.Receive(from, message, env_.loop->Now());
  for (const NodeId changed : gossip_.TakeChanged()) Learn(changed);
  return status;
}

void Gossiper::Learn(NodeId member) {
  const GossipUpdate& held = *gossip_.Find(member);
  const MemberFacts& facts = held.facts;
  Seen& seen = seen_[member];
  const bool restarted = facts.incarnation != seen.incarnation;
  const bool back = held.standing == Standing::kAlive && seen.standing != Standing::kAlive;
  seen.incarnation = facts.incarnation;
  seen.standing = held.standing;
  peers_->Told(member, held.standing);
  if (!facts.peer_address.empty() && facts.peer_address != peers_->AddressOf(member)) {
    peers_->MoveTo(member, facts.peer_address);
  } else if ((restarted || back) && !peers_->InTouch(member)) {
    // The next dial may be a second away, or the line may lead to its earlier life.
    peers_->Redial(member);
  } else {
    return;
  }
  flows_.Spawn(Greet(member));
}

}  // namespace annulus
