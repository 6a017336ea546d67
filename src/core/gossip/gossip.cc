#include "core/gossip/gossip.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.h"

namespace annulus {
namespace {

// Of the members that are not news, so many are told of in each message, in turn: what somebody
// missed while it was cut off, it hears this way.
constexpr int kRotating = 2;
// Of those who are said to be this member: more at a time cannot be looked into anyway.
constexpr size_t kNamesakesMax = 8;

// log(confirmations + 1) / log(expected + 1), in thousandths: the first confirmations say most.
int64_t ConfirmedPermille(size_t confirmations, size_t expected) {
  constexpr int64_t kTable[4][4] = {
      {1000, 1000, 1000, 1000}, {0, 1000, 1000, 1000}, {0, 631, 1000, 1000}, {0, 500, 792, 1000}};
  return kTable[std::min<size_t>(expected, 3)][std::min<size_t>(confirmations, 3)];
}

}  // namespace

Gossip::Gossip(NodeId self, bool observer, MemberFacts own, Options options)
    : options_(options), observer_(observer), own_{.node = self, .facts = std::move(own)} {
  ANNULUS_CHECK(options_.confirmations <= 3);
}

void Gossip::SetMembers(const std::vector<NodeId>& members) {
  std::map<NodeId, Member> kept;
  for (const NodeId id : members) {
    if (id == own_.node) continue;
    auto known = members_.find(id);
    Member& member = kept[id];
    if (known != members_.end()) member = std::move(known->second);
    member.held.node = id;
  }
  members_ = std::move(kept);
}

void Gossip::SetOwn(MemberFacts own) {
  own_.facts.sequence = own.sequence;
  if (own == own_.facts) return;
  own_.facts = std::move(own);
  ++own_.refutation;
}

Gossip::Effects Gossip::Tick(Instant now, Random* random) {
  if (next_period_ != Instant::min() && now - NextTick() > options_.period) RecoverFromPause(now);
  Effects effects;
  EndSuspicions(now);
  if (probe_.has_value() && !probe_->reached && !probe_->relays_asked && now >= probe_->relays_at) {
    effects.ask = AskRelays(random);
  }
  if (now >= next_period_) {
    Judge(now);
    StartProbe(now, random);
    if (probe_.has_value()) effects.probe = probe_->target;
  }
  return effects;
}

Instant Gossip::NextTick() const {
  Instant next = next_period_;
  if (probe_.has_value() && !probe_->reached && !probe_->relays_asked) {
    next = std::min(next, probe_->relays_at);
  }
  for (const auto& [id, member] : members_) {
    if (member.held.standing == Standing::kSuspect) next = std::min(next, member.dead_at);
  }
  return next;
}

void Gossip::Heard(NodeId id, Instant at) {
  auto found = members_.find(id);
  if (found == members_.end()) return;
  found->second.heard = std::max(found->second.heard, at);
  if (probe_.has_value() && probe_->target == id && at >= probe_->started) probe_->reached = true;
}

void Gossip::RelayAnswered(NodeId relay, NodeId target, bool reached) {
  if (reached) ProbeSoon(target);  // Over our own line.
  if (!probe_.has_value() || probe_->target != target) return;
  probe_->relays_silent.erase(relay);
  probe_->reached |= reached;
}

void Gossip::ProbeSoon(NodeId member) {
  if (std::find(soon_.begin(), soon_.end(), member) == soon_.end()) soon_.push_back(member);
}

// --- Probing
// -----------------------------------------------------------------

void Gossip::StartProbe(Instant now, Random* random) {
  const int stretch = 1 + health_;
  next_period_ = now + options_.period * stretch;
  const std::optional<NodeId> target = NextTarget(random);
  if (!target.has_value()) return;
  probe_ = {.target = *target, .started = now, .relays_at = now + options_.probe_timeout * stretch};
}

// SWIM's round robin in random order, so that none waits for longer than two rounds. What is to be
// probed soon takes every second turn at most.
std::optional<NodeId> Gossip::NextTarget(Random* random) {
  last_was_soon_ = !last_was_soon_ && !soon_.empty();
  if (last_was_soon_) {
    const NodeId target = soon_.front();
    soon_.pop_front();
    if (members_.contains(target)) return target;
  }
  while (true) {
    if (round_.empty()) {
      for (const auto& [id, member] : members_) round_.push_back(id);
      for (size_t i = round_.size(); i > 1; --i) std::swap(round_[i - 1], round_[random->Below(i)]);
    }
    if (round_.empty()) return std::nullopt;
    const NodeId target = round_.back();
    round_.pop_back();
    if (members_.contains(target)) return target;
  }
}

std::vector<Gossip::Effects::AskRelay> Gossip::AskRelays(Random* random) {
  probe_->relays_asked = true;
  std::vector<NodeId> relays;
  for (const auto& [id, member] : members_) {
    if (id != probe_->target && member.held.standing == Standing::kAlive) relays.push_back(id);
  }
  std::vector<Effects::AskRelay> ask;
  while (!relays.empty() && ask.size() < options_.relays) {
    std::swap(relays[random->Below(relays.size())], relays.back());
    ask.push_back({.relay = relays.back(),
                   .target = probe_->target,
                   .timeout = options_.probe_timeout * (1 + health_)});
    probe_->relays_silent.insert(relays.back());
    relays.pop_back();
  }
  probe_->relays = ask.size();
  return ask;
}

void Gossip::Judge(Instant now) {
  if (!probe_.has_value()) return;
  const Probe probe = *std::move(probe_);
  probe_.reset();
  auto found = members_.find(probe.target);
  if (found == members_.end()) return;
  if (probe.reached) return Better();
  Member* member = &found->second;
  if (member->held.standing == Standing::kDead) return;
  // A relay that says that it did not reach the target shows that our own line works. One that says
  // nothing, or that there is none, may mean that the fault is here.
  const size_t unanswered = probe.relays == 0 ? 1 : probe.relays_silent.size();
  for (size_t i = 0; i < unanswered; ++i) Worse();
  GossipUpdate suspicion = member->held;
  suspicion.standing = Standing::kSuspect;
  if (suspicion.suspectors.size() <= static_cast<size_t>(options_.confirmations)) {
    suspicion.suspectors = {own_.node};
  }
  Take(member, suspicion, now);
}

void Gossip::EndSuspicions(Instant now) {
  for (auto& [id, member] : members_) {
    if (member.held.standing != Standing::kSuspect || now < member.dead_at) continue;
    if (member.heard > member.suspected) {  // It is slow to refute, not dead.
      member.suspected = now;
      member.dead_at = DeadAt(member);
      ProbeSoon(id);
    } else if (!HeardAnyoneSince(member.suspected)) {  // The one that is cut off may be us.
      member.dead_at = now + options_.period;
    } else {
      GossipUpdate death = member.held;
      death.standing = Standing::kDead;
      death.suspectors.clear();
      Take(&member, death, now);
    }
  }
}

// This process stood still: what it waited for meanwhile says nothing about anybody.
void Gossip::RecoverFromPause(Instant now) {
  const Duration late = now - NextTick();
  Worse();
  probe_.reset();
  next_period_ = now;
  for (auto& [id, member] : members_) {
    member.suspected += late;
    member.dead_at += late;
  }
}

bool Gossip::HeardAnyoneSince(Instant since) const {
  return std::any_of(members_.begin(), members_.end(),
                     [&](const auto& entry) { return entry.second.heard > since; });
}

Instant Gossip::DeadAt(const Member& member) const {
  const size_t all = members_.size() + (observer_ ? 0 : 1);
  const auto scale = std::max<int64_t>(1, std::bit_width(all) / 3);  // About log10.
  const Duration least = options_.period * options_.suspicion_periods * scale;
  const Duration most = least * options_.suspicion_stretch;
  const size_t expected =
      std::min<size_t>(options_.confirmations, all > 2 ? all - 2 : 0);  // But the two concerned.
  const size_t confirmations = std::max<size_t>(member.held.suspectors.size(), 1) - 1;
  return member.suspected +
         (most - (most - least) * ConfirmedPermille(confirmations, expected) / 1000);
}

// --- Talking
// -----------------------------------------------------------------

int Gossip::SendsMax() const { return 3 * std::bit_width(members_.size() + 1); }

Bytes Gossip::MessageTo(NodeId receiver) {
  Bytes message;
  if (!observer_) PutUpdate(&message, own_);
  // What is said of the receiver comes first, so that it can refute (Lifeguard's buddy).
  if (auto found = members_.find(receiver); found != members_.end()) {
    const Member& member = found->second;
    if (member.claim_stale || member.held.standing != Standing::kAlive) {
      PutUpdate(&message, member.held);
    }
  }
  if (observer_) return message;

  std::vector<Member*> news;
  for (auto& [id, member] : members_) {
    const bool known = member.held != GossipUpdate{.node = id};
    if (id != receiver && known && member.sent < SendsMax()) news.push_back(&member);
  }
  std::stable_sort(news.begin(), news.end(),
                   [](const Member* a, const Member* b) { return a->sent < b->sent; });
  std::set<NodeId> told = {receiver};
  auto tell = [&](Member* member) {
    Bytes update;
    PutUpdate(&update, member->held);
    if (message.size() + update.size() > options_.message_bytes_max) return false;
    message += update;
    told.insert(member->held.node);
    ++member->sent;
    return true;
  };
  for (Member* member : news) {
    if (!tell(member)) return message;
  }
  auto next = members_.upper_bound(rotation_);
  int rotating = kRotating;
  for (size_t looked = 0; looked < members_.size() && rotating > 0; ++looked, ++next) {
    if (next == members_.end()) next = members_.begin();
    if (told.contains(next->first)) continue;
    if (!tell(&next->second)) break;
    rotation_ = next->first;
    --rotating;
  }
  return message;
}

absl::Status Gossip::Receive(NodeId sender, BytesView message, Instant now) {
  ByteReader reader(message);
  while (!reader.done()) {
    GossipUpdate heard;
    if (!TakeUpdate(&reader, &heard)) return absl::DataLossError("a malformed gossip message");
    if (heard.node == own_.node) {
      TakeAboutSelf(heard);
      continue;
    }
    auto found = members_.find(heard.node);
    if (found == members_.end()) continue;
    Member* member = &found->second;
    Take(member, heard, now);
    if (heard.node != sender) continue;
    heard.facts.sequence = member->held.facts.sequence;  // An older one is no claim to refute.
    member->claim_stale = member->held != heard;
    if (member->claim_stale) ProbeSoon(sender);
  }
  return absl::OkStatus();
}

void Gossip::Take(Member* member, const GossipUpdate& heard, Instant now) {
  const Standing standing = member->held.standing;
  const uint64_t refutation = member->held.refutation;
  member->sequence_max = std::max(member->sequence_max, heard.facts.sequence);
  if (!Merge(&member->held, heard)) return;
  member->sent = 0;
  changed_.insert(member->held.node);
  if (member->held.standing != Standing::kSuspect) return;
  if (standing != Standing::kSuspect || member->held.refutation != refutation) {
    member->suspected = now;
  }
  member->dead_at = DeadAt(*member);
}

// Overtakes what is wrong, be it said by others who waited in vain or by an earlier incarnation of
// this process.
void Gossip::TakeAboutSelf(const GossipUpdate& heard) {
  if (observer_) return;
  const bool of_this_life = heard.facts.incarnation == own_.facts.incarnation;
  if (!of_this_life && heard.facts.incarnation != Incarnation() &&
      namesakes_.size() < kNamesakesMax) {
    namesakes_[heard.facts.incarnation] = heard.facts.peer_address;
  }
  if (heard.refutation < own_.refutation) return;
  if (heard.standing == Standing::kAlive && heard.refutation == own_.refutation && of_this_life) {
    return;
  }
  own_.refutation = heard.refutation + 1;
  if (of_this_life && heard.standing != Standing::kAlive) Worse();
}

const GossipUpdate* Gossip::Find(NodeId id) const {
  auto found = members_.find(id);
  return found == members_.end() ? nullptr : &found->second.held;
}

uint64_t Gossip::SequenceOf(NodeId id) const {
  auto found = members_.find(id);
  return found == members_.end() ? 0 : found->second.sequence_max;
}

std::vector<NodeId> Gossip::TakeChanged() {
  std::vector<NodeId> changed(changed_.begin(), changed_.end());
  changed_.clear();
  return changed;
}

}  // namespace annulus
