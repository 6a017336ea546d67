#include "core/quorum/read_quorum.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/planted.h"

namespace annulus {
namespace {

constexpr uint32_t kStaleAsksMax = 3;

}  // namespace

ReadQuorum::ReadQuorum(Item item, uint32_t required, Candidates candidates, VersionVector at_least)
    : item_(std::move(item)), required_(required), at_least_(std::move(at_least)) {
  ANNULUS_CHECK(required >= 1);
  if (PlantedBugs::Has(PlantedBug::kReadAnswersFromOne)) required_ = 1;
  for (NodeId node : candidates.owners) candidates_.push_back({node, Role::kOwner});
  for (NodeId node : candidates.fallbacks) candidates_.push_back({node, Role::kFallback});
  for (NodeId node : candidates.others) {
    if (Find(node) == nullptr) candidates_.push_back({node, Role::kOther});
  }
}

ReadQuorum::Asks ReadQuorum::Start(absl::FunctionRef<bool(NodeId)> is_silent) {
  for (Candidate& candidate : candidates_) candidate.unhealthy = is_silent(candidate.node);
  return NextAsks();
}

ReadQuorum::Asks ReadQuorum::NextAsks() {
  Asks asks;
  AskForWhole(&asks);
  everybody_ |= settled() >= required_ && !merged_.vector.Covers(at_least_);
  if (everybody_) {
    AskEverybody(&asks);
    return asks;
  }
  while (Expected() < required_) {
    Candidate* next = NextUnasked();
    if (next == nullptr) break;
    asks.push_back(Send(next, !ExpectsWhole()));
  }
  return asks;
}

void ReadQuorum::AskForWhole(Asks* asks) {
  for (Candidate& candidate : candidates_) {
    if (!IsUnmatched(candidate)) continue;
    if (!everybody_ && Expected() >= required_) break;
    asks->push_back(Send(&candidate, /*whole=*/true));
  }
}

void ReadQuorum::AskEverybody(Asks* asks) {
  const bool all_settled = std::all_of(candidates_.begin(), candidates_.end(),
                                       [&](const Candidate& c) { return Settled(c); });
  if (all_settled && !owners_again_) {
    owners_again_ = true;
    for (Candidate& candidate : candidates_) {
      if (candidate.role == Role::kOwner) candidate.state = State::kUnasked;
    }
  }
  for (Candidate& candidate : candidates_) {
    if (candidate.state == State::kUnasked) asks->push_back(Send(&candidate, /*whole=*/true));
  }
}

ReadQuorum::Asks ReadQuorum::Hedge() {
  for (Candidate& candidate : candidates_) {
    if (candidate.state == State::kAsked) candidate.state = State::kSilent;
  }
  // Who has answered and was not needed so far answers these days.
  Asks asks;
  AskForWhole(&asks);
  if (!asks.empty()) return asks;
  Candidate* next = NextUnasked();
  if (next == nullptr) {
    // In turn: the one that fails at once must not be all that is asked.
    for (Candidate& candidate : candidates_) {
      if (candidate.state != State::kFailed) continue;
      if (next == nullptr || candidate.asks < next->asks) next = &candidate;
    }
    if (next == nullptr) return {};
  }
  // The one that is silent may be the one that was to send the whole record.
  return {Send(next, whole_digests_.empty())};
}

ReadQuorum::Asks ReadQuorum::HedgeEarly() {
  Candidate* next = NextUnasked(Role::kOwner, /*unhealthy=*/false);
  if (next == nullptr) return {};
  return {Send(next, whole_digests_.empty())};
}

void ReadQuorum::Answer(NodeId node, ReplicaAnswer answer) {
  Candidate* candidate = Find(node);
  if (candidate == nullptr || candidate->state == State::kWhole) return;
  candidate->rebuilding = answer.rebuilding;
  candidate->stamp = answer.stamp;
  if (answer.closed > closed_) {
    closed_ = answer.closed;
    ForgetStale();
  }
  // Rule COORDINATORS_IGNORE.
  if (answer.stamp < closed_ && !PlantedBugs::Has(PlantedBug::kStaleAnswerTaken)) {
    if (candidate->role == Role::kOwner) {
      // One that stays behind is not asked for ever: it has to be told its epochs again.
      candidate->state = candidate->asks < kStaleAsksMax ? State::kUnasked : State::kFailed;
      return;
    }
    answer.found = false;
  }
  if (answer.found && !answer.record.has_value()) {
    candidate->state = State::kDigest;
    candidate->digest = answer.digest;
    return;
  }
  candidate->state = State::kWhole;
  candidate->digest = 0;
  if (!answer.found) return;
  candidate->digest = DigestOf(item_, *answer.record);
  // Rule LOWEST_STAMP.
  if (whole_digests_.empty()) {
    stamp_ = answer.stamp;
  } else {
    stamp_ = PlantedBugs::Has(PlantedBug::kStampRises) ? std::max(stamp_, answer.stamp)
                                                       : std::min(stamp_, answer.stamp);
  }
  const bool is_first = whole_digests_.empty();
  whole_digests_.push_back(candidate->digest);
  if (is_first) {
    merged_ = *std::move(answer.record);
    merged_digest_ = candidate->digest;
  } else if (candidate->digest != merged_digest_) {
    Merge(&merged_, *answer.record);
    merged_digest_ = DigestOf(item_, merged_);
  }
}

void ReadQuorum::ForgetStale() {
  if (PlantedBugs::Has(PlantedBug::kStaleAnswerTaken)) return;
  const bool any = std::any_of(candidates_.begin(), candidates_.end(), [&](const Candidate& c) {
    return (c.state == State::kWhole || c.state == State::kDigest) && c.digest != 0 &&
           c.stamp < closed_;
  });
  if (!any) return;
  // What was merged cannot be taken apart: all that hold something are asked again.
  for (Candidate& candidate : candidates_) {
    if (candidate.state != State::kWhole && candidate.state != State::kDigest) continue;
    if (candidate.digest == 0) continue;
    if (candidate.role != Role::kOwner && candidate.stamp < closed_) {
      candidate.state = State::kWhole;
      candidate.digest = 0;
    } else {
      candidate.state = State::kUnasked;
    }
  }
  merged_ = Record();
  merged_digest_ = 0;
  whole_digests_.clear();
}

void ReadQuorum::Fail(NodeId node) {
  Candidate* candidate = Find(node);
  if (candidate == nullptr) return;
  if (candidate->state == State::kAsked || candidate->state == State::kSilent) {
    candidate->state = State::kFailed;
  }
}

Verdict ReadQuorum::verdict() const {
  if (settled() >= required_) {
    if (merged_.vector.Covers(at_least_)) return Verdict::kWon;
    bool failed = false;
    for (const Candidate& candidate : candidates_) {
      if (candidate.state == State::kFailed) {
        failed = true;
      } else if (!Settled(candidate)) {
        return Verdict::kPending;
      }
    }
    if (failed) return Verdict::kLost;
    return owners_again_ ? Verdict::kWon : Verdict::kPending;
  }
  uint32_t possible = 0;
  for (const Candidate& candidate : candidates_) {
    if (candidate.role == Role::kOther) continue;
    possible += candidate.state != State::kFailed;
  }
  return possible < required_ ? Verdict::kLost : Verdict::kPending;
}

uint32_t ReadQuorum::settled() const {
  uint32_t owners = 0;
  uint32_t fallbacks = 0;
  bool owners_are_over = true;
  for (const Candidate& candidate : candidates_) {
    if (candidate.role == Role::kFallback) fallbacks += Settled(candidate);
    if (candidate.role != Role::kOwner) continue;
    if (Settled(candidate)) {
      owners += !candidate.rebuilding || PlantedBugs::Has(PlantedBug::kRebuildingCountsForReads);
    } else if (candidate.state != State::kFailed && candidate.state != State::kSilent &&
               !(candidate.unhealthy && candidate.state == State::kUnasked)) {
      owners_are_over = false;
    }
  }
  return owners + (owners_are_over ? fallbacks : 0);
}

std::vector<NodeId> ReadQuorum::Awaited() const {
  std::vector<NodeId> awaited;
  for (const Candidate& candidate : candidates_) {
    if (candidate.state == State::kAsked) awaited.push_back(candidate.node);
  }
  return awaited;
}

ReadQuorum::Nodes ReadQuorum::OwnersThatAre(bool level) const {
  Nodes owners;
  for (const Candidate& candidate : candidates_) {
    if (candidate.role != Role::kOwner) continue;
    if (candidate.state != State::kWhole && candidate.state != State::kDigest) continue;
    if ((candidate.digest == merged_digest_) == level) owners.push_back(candidate.node);
  }
  return owners;
}

bool ReadQuorum::Settled(const Candidate& candidate) const {
  if (candidate.state == State::kWhole) return true;
  if (candidate.state != State::kDigest) return false;
  if (PlantedBugs::Has(PlantedBug::kDigestNotCompared) && !whole_digests_.empty()) return true;
  return std::find(whole_digests_.begin(), whole_digests_.end(), candidate.digest) !=
         whole_digests_.end();
}

bool ReadQuorum::IsUnmatched(const Candidate& candidate) const {
  return candidate.state == State::kDigest && !Settled(candidate);
}

uint32_t ReadQuorum::Expected() const {
  uint32_t owners = 0;
  uint32_t fallbacks = 0;
  bool owners_will_be_over = true;
  for (const Candidate& candidate : candidates_) {
    if (candidate.role == Role::kOther || candidate.rebuilding) continue;
    const bool counts = candidate.state == State::kAsked || Settled(candidate);
    (candidate.role == Role::kOwner ? owners : fallbacks) += counts;
    // Nothing that is under way ends what an owner with an unmatched digest keeps open.
    if (candidate.role == Role::kOwner && IsUnmatched(candidate)) owners_will_be_over = false;
  }
  return owners + (owners_will_be_over ? fallbacks : 0);
}

bool ReadQuorum::ExpectsWhole() const {
  if (!whole_digests_.empty()) return true;
  return std::any_of(candidates_.begin(), candidates_.end(), [](const Candidate& candidate) {
    return candidate.state == State::kAsked && candidate.whole;
  });
}

ReadQuorum::Candidate* ReadQuorum::NextUnasked() {
  // Owners that answer these days, then fallbacks that do, then owners that may again.
  for (auto [role, unhealthy] : {std::pair(Role::kOwner, false), std::pair(Role::kFallback, false),
                                 std::pair(Role::kOwner, true), std::pair(Role::kFallback, true)}) {
    if (Candidate* candidate = NextUnasked(role, unhealthy); candidate != nullptr) return candidate;
  }
  return nullptr;
}

ReadQuorum::Candidate* ReadQuorum::NextUnasked(Role role, bool unhealthy) {
  for (Candidate& candidate : candidates_) {
    if (candidate.role == role && candidate.unhealthy == unhealthy &&
        candidate.state == State::kUnasked) {
      return &candidate;
    }
  }
  return nullptr;
}

ReadQuorum::Ask ReadQuorum::Send(Candidate* candidate, bool whole) {
  // Who is known to be silent is not waited for.
  candidate->state = candidate->unhealthy ? State::kSilent : State::kAsked;
  candidate->whole = whole;
  ++candidate->asks;
  return {candidate->node, whole};
}

ReadQuorum::Candidate* ReadQuorum::Find(NodeId node) {
  for (Candidate& candidate : candidates_) {
    if (candidate.node == node) return &candidate;
  }
  return nullptr;
}

}  // namespace annulus
