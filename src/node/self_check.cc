#include "node/self_check.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "node/identity.h"
#include "task/sleep.h"

namespace annulus {
namespace {

constexpr Duration kAnswerMax = 1s;
constexpr Duration kAskInterval = 50ms;
// One member that knows this node is enough to go on; the others get so long to say more.
constexpr Duration kOthersMax = 300ms;
// How long an address may be silent before nobody is there: at a start, which clients wait for, and
// where somebody has just been.
constexpr Duration kProbeMax = 500ms;
constexpr Duration kGoneAfter = 5s;
constexpr Duration kWatchInterval = 1s;
constexpr Duration kNoteAgain = 500ms;

}  // namespace

SelfCheck::SelfCheck(NodeContext* node) : node_(node), answers_(node->env.loop) {}

Task<void> SelfCheck::BeforeServing() {
  for (const Member& member : node_->joining->members()) {
    if (member.id != node_->id) asked_[member.id] = Asked::kNot;
  }
  while (true) {
    co_await AskAround();
    std::set<std::string> places = Places();
    std::optional<Namesake> other =
        co_await FindNamesake(node_, node_->id, std::move(places), kProbeMax);
    if (!other.has_value() || !YieldsTo(*node_, *other)) break;
    co_await WaitUntilGone(*std::move(other));
    // What the others remember has changed with it.
    for (auto& [member, asked] : asked_) asked = Asked::kNot;
    known_ = false;
  }
  co_await Compare();
}

// A lone node, and one that shares its partitions with nobody, has nobody to learn from, and waits
// for nobody.
Task<void> SelfCheck::AskAround() {
  const Instant others_until = node_->Now() + kOthersMax;
  const bool needs_answer = !asked_.empty() && node_->joining->replicas() > 1;
  Instant ask_at = node_->Now();
  while (true) {
    if (node_->Now() >= ask_at) {
      AskAgain();
      ask_at = node_->Now() + kAskInterval;
    }
    std::optional<Answer> answer = co_await answers_.Next(ask_at);
    if (answer.has_value()) Take(*std::move(answer));
    std::vector<std::string> missing;
    for (const Member& member : node_->joining->members()) {
      const auto asked = asked_.find(member.id);
      if (asked != asked_.end() && asked->second != Asked::kAnswered)
        missing.push_back(member.name);
    }
    if (missing.empty()) co_return;
    if (node_->Now() >= others_until && (known_ || !needs_answer)) co_return;
    node_->not_ready_reason =
        absl::StrCat("asking what the other members remember of this node; no answer yet from ",
                     absl::StrJoin(missing, ", "));
  }
}

void SelfCheck::AskAgain() {
  for (auto& [member, asked] : asked_) {
    if (asked != Asked::kNot) continue;
    asked = Asked::kWaiting;
    node_->peers->Call(member, RecallRequest{.node = node_->id}, node_->Now() + kAnswerMax,
                       [to = answers_.sender(), member = member](PeerResult result) {
                         to.Deliver({member, std::move(result)});
                       });
  }
}

bool SelfCheck::Take(Answer answer) {
  Asked& asked = asked_[answer.from];
  const auto* reply = answer.result.ok() ? std::get_if<RecallReply>(&*answer.result) : nullptr;
  // One that has no layout yet may have heard of this node, but will hear more.
  asked = reply != nullptr && reply->known ? Asked::kAnswered : Asked::kNot;
  if (reply == nullptr) return false;
  known_ |= reply->known;
  if (reply->sequence > remembered_) {
    remembered_ = reply->sequence;
    rememberer_ = answer.from;
  }
  if (reply->incarnation != Incarnation() && reply->incarnation != node_->incarnation) {
    named_[reply->incarnation] = reply->peer_address;
  }
  return true;
}

std::set<std::string> SelfCheck::Places() const {
  // Here too: a copy with the same configuration waits behind the same name.
  std::set<std::string> places = {node_->options.peer_address};
  for (const NodeOptions::Seed& seed : node_->options.seeds) {
    if (seed.name == node_->options.name) places.insert(seed.peer_address);
  }
  if (const Member* self = node_->joining->FindMember(node_->id); self != nullptr) {
    places.insert(self->peer_address);
  }
  for (const auto& [incarnation, address] : named_) places.insert(address);
  return places;
}

Task<void> SelfCheck::WaitUntilGone(Namesake other) {
  node_->refused = Explain(other);
  node_->events("duplicate_node_id", node_->refused);
  std::set<std::string> places = Places();
  places.insert(other.address);
  Instant heard = node_->Now();
  while (node_->Now() - heard < kGoneAfter) {
    co_await Sleep(node_->env.loop, kWatchInterval);
    std::set<std::string> asked = places;
    std::optional<Namesake> found =
        co_await FindNamesake(node_, node_->id, std::move(asked), kProbeMax);
    // One that refuses like us has given the id up.
    if (found.has_value() && found->claim != Claim::kNone) heard = node_->Now();
  }
  node_->refused.clear();
  named_.clear();
  node_->events("duplicate_node_id_gone", other.address);
}

Task<void> SelfCheck::Compare() {
  while (remembered_ > node_->Sequence()) {
    const uint64_t base = node_->sequence_base + (remembered_ - node_->Sequence());
    absl::Status noted = co_await NoteAmnesia(node_->env, base);
    if (!noted.ok()) {
      node_->not_ready_reason = absl::StrCat("it could not be noted that all partitions must be ",
                                             "rebuilt: ", noted.message());
      co_await Sleep(node_->env.loop, kNoteAgain);
      continue;
    }
    const std::string what = absl::StrCat(
        "this disk is older than what this node had: ", node_->NameOf(rememberer_),
        " remembers its sequence number ", remembered_, ", the disk has ", node_->Sequence());
    node_->sequence_base = base;
    node_->rebuild_all = true;
    node_->events("disk_not_as_it_was", what);
    node_->notices.push_back(what);
  }
}

Task<void> SelfCheck::Watch() {
  while (node_->refused.empty()) {
    MemberFacts own = node_->gossip->own();
    own.sequence = node_->Sequence();
    node_->gossip->SetOwn(std::move(own));
    AskAgain();
    co_await Sleep(node_->env.loop, kWatchInterval);
    while (true) {
      std::optional<Answer> answer = co_await answers_.Next(node_->Now());
      if (!answer.has_value()) break;
      Take(*std::move(answer));
    }
    if (remembered_ > node_->Sequence()) {
      co_await Compare();
      if (node_->on_rebuild_all) node_->on_rebuild_all();
    }
    std::map<Incarnation, std::string> named = node_->gossip->TakeNamesakes();
    named.merge(std::exchange(named_, {}));
    co_await LookAt(std::move(named));
  }
}

Task<void> SelfCheck::LookAt(std::map<Incarnation, std::string> named) {
  std::set<std::string> places;
  for (const auto& [incarnation, address] : named) places.insert(address);
  if (places.empty()) co_return;
  std::optional<Namesake> other =
      co_await FindNamesake(node_, node_->id, std::move(places), kProbeMax);
  if (other.has_value() && YieldsTo(*node_, *other)) StopServing(*other);
}

// For good: which of the two goes on is for people to decide, who find the other one serving.
void SelfCheck::StopServing(const Namesake& other) {
  node_->refused = Explain(other);
  node_->gossip->FallSilent();
  node_->env.transport->SetIdentity(NodeId(), node_->incarnation);
  node_->events("duplicate_node_id", node_->refused);
}

std::string SelfCheck::Explain(const Namesake& other) {
  return absl::StrCat("another live process (", other.address, ", incarnation ",
                      ToHex(other.incarnation),
                      ") has this node's id; its data directory was copied, or it is the old one: "
                      "stop one of the two, or give this one an empty directory and a name of its "
                      "own");
}

RecallReply Recall(const NodeContext& node, const RecallRequest& request) {
  const Layout* layout = node.layout != nullptr ? node.layout.get() : node.joining.get();
  RecallReply reply{.known = layout != nullptr && layout->FindMember(request.node) != nullptr};
  if (request.node == node.id) {
    reply.sequence = node.Sequence();
    reply.incarnation = node.incarnation;
    reply.peer_address = node.options.peer_address;
    return reply;
  }
  reply.sequence =
      std::max(node.peers->SequenceOf(request.node), node.gossip->SequenceOf(request.node));
  if (const GossipUpdate* held = node.gossip->Find(request.node); held != nullptr) {
    reply.incarnation = held->facts.incarnation;
    reply.peer_address = held->facts.peer_address;
  }
  return reply;
}

}  // namespace annulus
