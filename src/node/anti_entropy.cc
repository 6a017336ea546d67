#include "node/anti_entropy.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/exchange.h"
#include "node/meta.h"
#include "task/sleep.h"

namespace annulus {
namespace {

constexpr Duration kRootsMax = 5s;
// How long after its last question another owner counts as exchanging.
constexpr Duration kExchangingFor = 5s;
// The last partition that was scrubbed; there is none before the first pass has ended.
constexpr char kScrubbedKey[] = "scrubbed";
constexpr Duration kScrubSoon = 10min;
// Until there is something to scrub.
constexpr Duration kScrubLook = 500ms;
// Between partitions in the first pass.
constexpr Duration kScrubPause = 10ms;

}  // namespace

AntiEntropy::AntiEntropy(NodeContext* node)
    : node_(node), partitions_(node->options.partitions), wake_(node->env.loop) {}

void AntiEntropy::Hurry() {
  if (!std::exchange(hurried_, true)) wake_.sender().Deliver(true);
}

Task<void> AntiEntropy::Run() {
  while (true) {
    // A little more or less each time, so that owners do not keep in step.
    const Duration interval = node_->options.repair_interval;
    const Duration wait(node_->env.random->Between(interval.count() * 3 / 4, interval.count()));
    co_await wake_.Next(node_->Now() + wait);
    hurried_ = false;
    co_await Round();
  }
}

Task<void> AntiEntropy::Round() {
  std::shared_ptr<const Layout> layout = node_->layout;
  if (layout == nullptr) co_return;
  ++node_->counters.rounds;
  const Instant started = node_->Now();
  const WallTime started_wall = node_->env.clock->Wall();
  const std::vector<PartitionId> owned = Owned();
  std::vector<PartitionId> asked = owned;
  Roots roots = co_await AskRoots(layout, std::move(asked));
  std::vector<PartitionId> differing;
  for (PartitionId partition : owned) {
    const absl::StatusOr<uint64_t> own = co_await node_->replica->tree().Root(partition);
    const std::map<NodeId, uint64_t>& theirs = roots[partition];
    const bool equal = own.ok() && std::all_of(theirs.begin(), theirs.end(), [&](const auto& root) {
                         return root.second == *own;
                       });
    if (!equal) {
      differing.push_back(partition);
    } else if (theirs.size() + 1 == layout->Owners(partition).size()) {
      MarkLevel(partition, started, started_wall);
    }
  }

  // From anywhere on, so that the owners, which find the same, begin with different ones.
  if (differing.empty()) co_return;
  const size_t first = node_->env.random->Below(differing.size());
  std::rotate(differing.begin(), differing.begin() + static_cast<std::ptrdiff_t>(first),
              differing.end());
  for (PartitionId partition : differing) {
    const std::optional<Instant>& by_other = partitions_[partition.value()].asked;
    if (by_other.has_value() && node_->Now() - *by_other < kExchangingFor) continue;
    const Instant begun = node_->Now();
    const WallTime begun_wall = node_->env.clock->Wall();
    std::vector<NodeId> others;
    for (const auto& [owner, root] : roots[partition]) others.push_back(owner);
    const bool all = others.size() + 1 == layout->Owners(partition).size();
    const bool repaired = co_await RunExchange(node_, partition, std::move(others));
    if (repaired && all) MarkLevel(partition, begun, begun_wall);
  }
}

Task<AntiEntropy::Roots> AntiEntropy::AskRoots(std::shared_ptr<const Layout> layout,
                                               std::vector<PartitionId> owned) {
  constexpr size_t kPartitionsAtOnce = 4096;
  std::map<NodeId, std::vector<PartitionId>> shared;
  for (PartitionId partition : owned) {
    for (NodeId owner : layout->Owners(partition)) {
      if (owner != node_->id) shared[owner].push_back(partition);
    }
  }
  Mailbox<Answered> box(node_->env.loop);
  size_t under_way = 0;
  for (const auto& [peer, partitions] : shared) {
    for (size_t first = 0; first < partitions.size(); first += kPartitionsAtOnce) {
      const size_t last = std::min(first + kPartitionsAtOnce, partitions.size());
      std::vector<PartitionId> some(partitions.begin() + static_cast<std::ptrdiff_t>(first),
                                    partitions.begin() + static_cast<std::ptrdiff_t>(last));
      ++under_way;
      node_->peers->Call(peer, RootsRequest{some}, node_->Now() + kRootsMax,
                         [to = box.sender(), peer = peer, some](PeerResult result) {
                           to.Deliver({peer, some,
                                       result.ok() ? std::get<RootsReply>(*std::move(result))
                                                   : absl::StatusOr<RootsReply>(result.status())});
                         });
    }
  }
  Roots roots;
  for (; under_way > 0; --under_way) {
    std::optional<Answered> answered = co_await box.Next();
    if (!answered->reply.ok() || answered->reply->roots.size() != answered->partitions.size()) {
      continue;
    }
    for (size_t i = 0; i < answered->partitions.size(); ++i) {
      roots[answered->partitions[i]][answered->peer] = answered->reply->roots[i];
    }
  }
  co_return roots;
}

Task<void> AntiEntropy::Scrub() {
  std::string key = kScrubbedKey;
  const absl::StatusOr<std::optional<Bytes>> last = co_await ReadMeta(node_->env, key);
  const bool has_last = last.ok() && last->has_value();
  bool first_pass = last.ok() && !has_last;
  uint16_t done = 0;
  if (has_last) ByteReader(**last).BigEndian16(&done);
  uint32_t next = has_last ? done + 1 : 0;
  // A restart brings a look at one partition soon, however rarely they come.
  Duration wait = first_pass ? Duration(0) : kScrubSoon;
  while (true) {
    const std::vector<PartitionId> owned = Owned();
    if (owned.empty()) {  // There is no layout yet, or nothing is served.
      co_await Sleep(node_->env.loop, kScrubLook);
      continue;
    }
    const Duration step = node_->options.scrub_interval / static_cast<int64_t>(owned.size());
    wait = std::max(std::min(wait, step), first_pass ? kScrubPause : Duration(0));
    const Duration some(node_->env.random->Between(wait.count() / 2, wait.count()));
    co_await Sleep(node_->env.loop, some);
    wait = first_pass ? Duration(0) : step;

    const auto partition = std::lower_bound(owned.begin(), owned.end(), PartitionId(next));
    if (partition == owned.end()) {
      next = 0;
      if (!std::exchange(first_pass, false)) continue;
    } else {
      next = partition->value() + 1;
      co_await ScrubPartition(*partition);
      if (first_pass) continue;
    }
    Bytes value;
    PutBigEndian16(&value, static_cast<uint16_t>(next - 1));
    absl::Status noted = co_await WriteMeta(node_->env, key, std::move(value));
    noted.IgnoreError();  // Then it looks at some of them again.
  }
}

Task<void> AntiEntropy::ScrubPartition(PartitionId partition) {
  absl::StatusOr<uint32_t> corrected = co_await node_->replica->tree().Correct(partition);
  ++node_->counters.partitions_scrubbed;
  if (corrected.ok()) {
    node_->counters.leaves_corrected += *corrected;
  } else {
    node_->events("scrub_failed", absl::StrCat("partition ", partition.value(), ": ",
                                               std::string(corrected.status().message())));
  }
}

std::optional<Duration> AntiEntropy::AgeOf(PartitionId partition) const {
  const std::optional<Instant>& since = partitions_[partition.value()].level_since;
  if (!since.has_value()) return std::nullopt;
  return node_->Now() - *since;
}

ConvergenceView AntiEntropy::convergence() const {
  ConvergenceView view;
  for (PartitionId partition : Owned()) {
    ++view.partitions;
    const std::optional<Duration> age = AgeOf(partition);
    if (!age.has_value()) {
      ++view.never;
    } else if (!view.age.has_value() || *age > *view.age) {
      view.age = age;
      view.since = partitions_[partition.value()].level_since_wall;
    }
  }
  return view;
}

Task<absl::StatusOr<RootsReply>> AntiEntropy::Answer(RootsRequest request) {
  RootsReply reply;
  reply.roots.reserve(request.partitions.size());
  for (PartitionId partition : request.partitions) {
    if (absl::Status owned = CheckOwned(partition); !owned.ok()) co_return owned;
    const absl::StatusOr<uint64_t> root = co_await node_->replica->tree().Root(partition);
    if (!root.ok()) co_return root.status();
    reply.roots.push_back(*root);
  }
  co_return reply;
}

Task<absl::StatusOr<LeavesReply>> AntiEntropy::Answer(LeavesRequest request) {
  if (absl::Status owned = CheckOwned(request.partition); !owned.ok()) co_return owned;
  partitions_[request.partition.value()].asked = node_->Now();
  absl::StatusOr<LeavesReply> reply = co_await AnswerLeaves(node_, std::move(request));
  co_return reply;
}

Task<absl::StatusOr<KeysReply>> AntiEntropy::Answer(KeysRequest request) {
  if (absl::Status owned = CheckOwned(request.partition); !owned.ok()) co_return owned;
  partitions_[request.partition.value()].asked = node_->Now();
  absl::StatusOr<KeysReply> reply = co_await AnswerKeys(node_, std::move(request));
  co_return reply;
}

absl::StatusOr<HurryReply> AntiEntropy::Answer(const HurryRequest& request) {
  HurryReply reply;
  reply.ages.reserve(request.partitions.size());
  for (PartitionId partition : request.partitions) {
    if (absl::Status owned = CheckOwned(partition); !owned.ok()) return owned;
    reply.ages.push_back(AgeOf(partition));
  }
  Hurry();
  return reply;
}

absl::Status AntiEntropy::CheckOwned(PartitionId partition) const {
  if (partition.value() >= partitions_.size() || !node_->Owns(partition)) {
    return node_->NotOwner(partition);
  }
  return node_->epochs->CheckServes(partition);
}

std::vector<PartitionId> AntiEntropy::Owned() const {
  std::vector<PartitionId> owned;
  for (uint32_t p = 0; p < partitions_.size(); ++p) {
    const PartitionId partition(p);
    if (node_->Owns(partition) && node_->epochs->Serves(partition)) owned.push_back(partition);
  }
  return owned;
}

void AntiEntropy::MarkLevel(PartitionId partition, Instant since, WallTime wall) {
  Partition& held = partitions_[partition.value()];
  if (held.level_since.has_value() && *held.level_since >= since) return;
  held.level_since = since;
  held.level_since_wall = wall;
}

}  // namespace annulus
