#include "node/lessons.h"

#include <algorithm>
#include <map>
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
constexpr Duration kAgainMax = 1s;
constexpr size_t kWaitsBeforeRound = 3;
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
  if (epochs.Serves(partition)) co_return;
  StorageBatch batch;
  Lesson lesson;
  if (node->Owns(partition)) {
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

// Whom to ask about the partition, in turn.
std::vector<NodeId> TellersOf(const NodeContext& node, PartitionId partition) {
  std::vector<NodeId> owners = node.layout->Owners(partition);
  std::erase(owners, node.id);
  return owners;
}

// One try; returns how many partitions are still not served.
Task<size_t> LearnRound(NodeContext* node, size_t number) {
  std::shared_ptr<const Layout> layout = node->layout;
  std::map<NodeId, std::vector<PartitionId>> by_teller;
  for (uint32_t p = 0; p < layout->partitions(); ++p) {
    const PartitionId partition(p);
    if (node->epochs->Serves(partition)) continue;
    const std::vector<NodeId> tellers = TellersOf(*node, partition);
    if (tellers.empty()) {
      node->epochs->Serve(partition);
      continue;
    }
    by_teller[tellers[number % tellers.size()]].push_back(partition);
  }
  std::vector<Question> questions;
  std::vector<std::vector<PartitionId>> asked;
  // Whoever has waited for a while is one that was told to: only a round ends that.
  const bool wants_round = number >= kWaitsBeforeRound;
  for (const auto& [teller, partitions] : by_teller) {
    for (size_t first = 0; first < partitions.size(); first += kPartitionsAtOnce) {
      const size_t last = std::min(first + kPartitionsAtOnce, partitions.size());
      EpochsRequest request;
      request.partitions.assign(partitions.begin() + static_cast<std::ptrdiff_t>(first),
                                partitions.begin() + static_cast<std::ptrdiff_t>(last));
      for (PartitionId partition : request.partitions) {
        request.epochs.push_back(node->epochs->Of(partition));
      }
      asked.push_back(request.partitions);
      request.wants_round = wants_round;
      questions.push_back({teller, std::move(request)});
    }
  }
  const std::vector<absl::StatusOr<EpochsReply>> replies =
      co_await AskAll<EpochsReply>(node, std::move(questions));
  size_t left = 0;
  for (size_t i = 0; i < replies.size(); ++i) {
    const bool told = replies[i].ok() && replies[i]->epochs.size() == asked[i].size();
    for (size_t j = 0; j < asked[i].size(); ++j) {
      if (told) co_await LearnOne(node, asked[i][j], replies[i]->epochs[j]);
      left += !node->epochs->Serves(asked[i][j]);
    }
  }
  co_return left;
}

}  // namespace

Task<void> RunLessons(NodeContext* node) {
  Duration again = kAgainMin;
  for (size_t number = 0;; ++number) {
    const size_t left = co_await LearnRound(node, number);
    if (left == 0) break;
    co_await Sleep(node->env.loop, again);
    again = std::min(again * 2, kAgainMax);
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
