#include "core/quorum/read_quorum.h"

#include <algorithm>

#include "base/check.h"
#include "base/planted.h"

namespace annulus {

ReadQuorum::ReadQuorum(Item item, uint32_t required, std::vector<NodeId> candidates,
                       VersionVector at_least)
    : item_(std::move(item)), required_(required), at_least_(std::move(at_least)) {
  ANNULUS_CHECK(required >= 1);
  if (PlantedBugs::Has(PlantedBug::kReadAnswersFromOne)) required_ = 1;
  candidates_.reserve(candidates.size());
  for (NodeId node : candidates) candidates_.push_back({.node = node});
}

std::vector<ReadQuorum::Ask> ReadQuorum::Start() { return NextAsks(); }

std::vector<ReadQuorum::Ask> ReadQuorum::NextAsks() {
  const uint32_t needed = Needed();
  uint32_t expected = 0;
  bool whole_expected = !whole_digests_.empty();
  for (const Candidate& candidate : candidates_) {
    if (Settled(candidate) || candidate.state == State::kAsked) ++expected;
    if (candidate.state == State::kAsked && candidate.whole) whole_expected = true;
  }
  std::vector<Ask> asks;
  // A digest that nothing here matches is worth nothing until its record is here too.
  for (Candidate& candidate : candidates_) {
    if (expected >= needed) break;
    if (candidate.state != State::kDigest || Settled(candidate)) continue;
    asks.push_back(Send(&candidate, /*whole=*/true));
    ++expected;
  }
  for (Candidate& candidate : candidates_) {
    if (expected >= needed) break;
    if (candidate.state != State::kUnasked) continue;
    asks.push_back(Send(&candidate, !whole_expected));
    whole_expected = true;
    ++expected;
  }
  return asks;
}

std::vector<ReadQuorum::Ask> ReadQuorum::Hedge() {
  for (State wanted : {State::kUnasked, State::kFailed}) {
    for (Candidate& candidate : candidates_) {
      if (candidate.state != wanted) continue;
      // The one that is silent may be the one that was to send the whole record.
      return {Send(&candidate, whole_digests_.empty())};
    }
  }
  return {};
}

void ReadQuorum::Answer(NodeId node, ReplicaAnswer answer) {
  Candidate* candidate = Find(node);
  if (candidate == nullptr || candidate->state == State::kWhole) return;
  if (answer.found && !answer.record.has_value()) {
    candidate->state = State::kDigest;
    candidate->digest = answer.digest;
    return;
  }
  candidate->state = State::kWhole;
  if (!answer.found) return;
  whole_digests_.push_back(DigestOf(item_, *answer.record));
  Merge(&merged_, *answer.record);
}

void ReadQuorum::Fail(NodeId node) {
  Candidate* candidate = Find(node);
  if (candidate != nullptr && candidate->state == State::kAsked) candidate->state = State::kFailed;
}

uint32_t ReadQuorum::Needed() const {
  if (settled() < required_ || merged_.vector.Covers(at_least_)) return required_;
  return static_cast<uint32_t>(candidates_.size());
}

Verdict ReadQuorum::verdict() const {
  const uint32_t needed = Needed();
  if (settled() >= needed) return Verdict::kWon;
  size_t failed = 0;
  for (const Candidate& candidate : candidates_) failed += candidate.state == State::kFailed;
  return candidates_.size() - failed < needed ? Verdict::kLost : Verdict::kPending;
}

uint32_t ReadQuorum::settled() const {
  return static_cast<uint32_t>(
      std::count_if(candidates_.begin(), candidates_.end(),
                    [&](const Candidate& candidate) { return Settled(candidate); }));
}

bool ReadQuorum::Settled(const Candidate& candidate) const {
  if (candidate.state == State::kWhole) return true;
  if (candidate.state != State::kDigest) return false;
  return std::find(whole_digests_.begin(), whole_digests_.end(), candidate.digest) !=
         whole_digests_.end();
}

ReadQuorum::Ask ReadQuorum::Send(Candidate* candidate, bool whole) {
  candidate->state = State::kAsked;
  candidate->whole = whole;
  return {candidate->node, whole};
}

ReadQuorum::Candidate* ReadQuorum::Find(NodeId node) {
  for (Candidate& candidate : candidates_) {
    if (candidate.node == node) return &candidate;
  }
  return nullptr;
}

}  // namespace annulus
