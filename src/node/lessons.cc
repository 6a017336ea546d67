#include "node/lessons.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/hint/hint.h"
#include "core/ring/ring.h"
#include "node/ask.h"
#include "task/sleep.h"

namespace annulus {
namespace {

// Until everything is served. Soon at first: lines have just been dialled.
constexpr Duration kAgainMin = 20ms;
constexpr Duration kAgainMax = 500ms;
// So long all other owners are waited for: one that does not answer holds nobody up for longer.
constexpr Duration kAllMax = 700ms;
constexpr Duration kListenMax = 500ms;
constexpr size_t kPartitionsAtOnce = 4096;
constexpr size_t kHintsAtOnce = 256;
constexpr size_t kHintsBytesAtOnce = 1 << 20;

// Drops what is kept for the partition's owners with a stamp below this. OK when it is gone.
Task<absl::Status> DropStaleHints(NodeContext* node, PartitionId partition, Epoch closed) {
  std::shared_ptr<const Layout> layout = node->layout;
  for (NodeId owner : layout->Owners(partition)) {
    const KeyRange range = PartitionRange(partition);
    Bytes begin = HintKey(owner, range.begin);
    const Bytes end = HintKey(owner, range.end);
    while (true) {
      using Page = absl::StatusOr<StoragePage>;
      Page page = co_await Await<Page>([&](auto done) {
        node->env.storage->ReadRange(ColumnFamily::kHint, begin, end, kHintsAtOnce,
                                     kHintsBytesAtOnce, std::move(done));
      });
      if (!page.ok()) co_return page.status();
      for (auto& [key, value] : page->entries) {
        absl::StatusOr<Hint> hint = DecodeHint(value);
        if (!hint.ok()) node->replica->NoteDamage(ColumnFamily::kHint, key);
        if (!hint.ok() || hint->pointer != 0 || hint->stored.epoch >= closed) continue;
        absl::StatusOr<ParsedHintKey> parsed = ParseHintKey(key);
        if (!parsed.ok()) co_return parsed.status();
        absl::StatusOr<ParsedDataKey> data_key = ParseDataKey(parsed->data_key);
        if (!data_key.ok()) co_return data_key.status();
        Place place{std::move(data_key->item), owner};
        absl::Status dropped = co_await node->replica->Discard(std::move(place), std::move(value));
        if (!dropped.ok()) co_return dropped;
        ++node->counters.hints_stale;
      }
      if (!page->more) break;
      begin = Successor(page->entries.back().first);
    }
  }
  co_return absl::OkStatus();
}

Task<void> LearnOne(NodeContext* node, PartitionId partition, PartitionEpochs told) {
  Epochs& epochs = *node->epochs;
  if (epochs.Serves(partition) || !node->refused.empty()) co_return;
  StorageBatch batch;
  Lesson lesson;
  if (node->layout->Owns(node->id, partition)) {
    lesson = LearnAsOwner(epochs.Of(partition), told);
    if (lesson.set_aside) {
      batch = node->replica->RemovalOf(partition);
      node->events(
          "set_aside",
          absl::StrCat("partition ", partition.value(), ": this disk is of epoch ",
                       epochs.Of(partition).current.value(), ", others have closed all below ",
                       told.closed.value(), "; its copy is dropped and rebuilt"));
    }
  } else {
    lesson = LearnAsOther(epochs.Of(partition), told);
    // Below what the owner has closed, not below what this node has noted: what it keeps of a stamp
    // in between is what the round waits for.
    absl::Status dropped = co_await DropStaleHints(node, partition, told.closed);
    if (!dropped.ok()) co_return;  // It is told again.
  }
  absl::Status noted = co_await epochs.Learn(partition, lesson.epochs, std::move(batch));
  if (!noted.ok()) co_return;
  node->counters.partitions_set_aside += lesson.set_aside;
  if (lesson.set_aside) node->replica->tree().Forget(partition);
  if (lesson.serves) epochs.Serve(partition);
}

// What has been told of a partition so far, and by whom.
struct Heard {
  std::set<NodeId> from;
  PartitionEpochs together;
};
using HeardByPartition = std::map<PartitionId, Heard>;

// Asks all other owners of these partitions, and adds what they say.
Task<void> Listen(NodeContext* node, std::vector<PartitionId> partitions, bool wants_round,
                  HeardByPartition* heard) {
  std::map<NodeId, std::vector<PartitionId>> by_teller;
  for (PartitionId partition : partitions) {
    for (NodeId owner : node->layout->Owners(partition)) {
      if (owner != node->id) by_teller[owner].push_back(partition);
    }
  }
  std::vector<Question> questions;
  std::vector<std::pair<NodeId, std::vector<PartitionId>>> asked;
  for (const auto& [teller, all] : by_teller) {
    for (size_t first = 0; first < all.size(); first += kPartitionsAtOnce) {
      const size_t last = std::min(first + kPartitionsAtOnce, all.size());
      EpochsRequest request{.wants_round = wants_round};
      request.partitions.assign(all.begin() + static_cast<std::ptrdiff_t>(first),
                                all.begin() + static_cast<std::ptrdiff_t>(last));
      for (PartitionId partition : request.partitions) {
        request.epochs.push_back(node->epochs->Of(partition));
      }
      asked.emplace_back(teller, request.partitions);
      questions.push_back({teller, std::move(request)});
    }
  }
  const std::vector<absl::StatusOr<EpochsReply>> replies =
      co_await AskAll<EpochsReply>(node, std::move(questions), kListenMax);
  for (size_t i = 0; i < replies.size(); ++i) {
    const auto& [teller, about] = asked[i];
    if (!replies[i].ok() || replies[i]->epochs.size() != about.size()) continue;
    for (size_t j = 0; j < about.size(); ++j) {
      Heard& of = (*heard)[about[j]];
      of.from.insert(teller);
      of.together = Together(of.together, replies[i]->epochs[j]);
    }
  }
}

// Learns what can be learnt: where all other owners have spoken, or, after a while, some.
Task<void> LearnFrom(NodeContext* node, const HeardByPartition& heard, bool some_are_enough) {
  for (const auto& [partition, of] : heard) {
    const size_t others = node->layout->Owners(partition).size() - (node->Owns(partition) ? 1 : 0);
    if (of.from.size() < others && !some_are_enough) continue;
    co_await LearnOne(node, partition, of.together);
  }
}

// Returns once everything is served, or this process is refused: it is a copy of somebody who runs,
// and learns nothing in its name. Whoever waits for long owns nothing of the partition and was told
// of an epoch that it has not noted: only a round ends that, so it asks for one.
Task<void> LearnAll(NodeContext* node) {
  const Instant begun = node->Now();
  Duration again = kAgainMin;
  while (node->refused.empty()) {
    std::vector<PartitionId> partitions;
    for (uint32_t p = 0; p < node->layout->partitions(); ++p) {
      const PartitionId partition(p);
      if (node->epochs->Serves(partition)) continue;
      const std::vector<NodeId>& owners = node->layout->Owners(partition);
      if (owners.size() == 1 && owners.front() == node->id) {
        node->epochs->Serve(partition);
      } else {
        partitions.push_back(partition);
      }
    }
    if (partitions.empty()) co_return;
    const bool late = node->Now() - begun >= kAllMax;
    HeardByPartition heard;
    co_await Listen(node, std::move(partitions), late, &heard);
    co_await LearnFrom(node, heard, late);
    co_await Sleep(node->env.loop, again);
    again = std::min(again * 2, kAgainMax);
  }
}

// Stops serving what others know better (MustLearnAgain).
Task<void> LookAgain(NodeContext* node) {
  std::vector<PartitionId> owned;
  for (uint32_t p = 0; p < node->layout->partitions(); ++p) {
    if (node->Owns(PartitionId(p))) owned.emplace_back(p);
  }
  HeardByPartition heard;
  co_await Listen(node, std::move(owned), /*wants_round=*/false, &heard);
  for (const auto& [partition, of] : heard) {
    if (!MustLearnAgain(node->epochs->Of(partition), of.together)) continue;
    node->events("epochs_behind",
                 absl::StrCat("partition ", partition.value(), ": others have closed all below ",
                              of.together.closed.value(), ", this node is at ",
                              node->epochs->Of(partition).current.value()));
    node->epochs->StopServing(partition);
  }
}

}  // namespace

Task<void> RunLessons(NodeContext* node) {
  while (node->refused.empty()) {
    co_await LearnAll(node);
    co_await Sleep(node->env.loop, node->options.repair_interval);
    co_await LookAgain(node);
  }
}

EpochsReply TellEpochs(const NodeContext& node, const EpochsRequest& request) {
  EpochsReply reply{.incarnation = node.incarnation};
  reply.epochs.reserve(request.partitions.size());
  for (PartitionId partition : request.partitions) {
    reply.epochs.push_back(node.epochs->Of(partition));
  }
  return reply;
}

}  // namespace annulus
