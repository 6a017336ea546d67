#include "node/exchange.h"

#include <algorithm>
#include <utility>

#include "base/planted.h"
#include "core/ring/ring.h"
#include "node/ask.h"
#include "task/await.h"
#include "task/mailbox.h"
#include "task/sleep.h"

namespace annulus {
namespace {

// Leaves whose keys are compared at once: what one comparison holds in memory.
constexpr size_t kLeavesAtOnce = 32;
constexpr size_t kKeyPageBytes = 256 << 10;
// Items that are repaired at the same time.
constexpr size_t kRepairsAtOnce = 8;

// One exchange: who takes part (this node first), and what they said.
class Exchange {
 public:
  Exchange(NodeContext* node, PartitionId partition, std::vector<NodeId> others)
      : node_(node), partition_(partition), owners_(std::move(others)) {
    owners_.insert(owners_.begin(), node->id);
  }

  Task<bool> Run() {
    std::vector<uint32_t> nothing;
    co_await GatherLeaves(std::move(nothing));
    const std::vector<Leaves> trees = trees_;
    const std::vector<NodeId> compared = owners_;
    const std::vector<uint32_t> differing = DifferingLeaves(trees);
    node_->counters.leaves_differed += differing.size();

    for (size_t first = 0; first < differing.size() && owners_.size() > 1; first += kLeavesAtOnce) {
      const size_t last = std::min(first + kLeavesAtOnce, differing.size());
      std::vector<uint32_t> leaves(differing.begin() + static_cast<std::ptrdiff_t>(first),
                                   differing.begin() + static_cast<std::ptrdiff_t>(last));
      co_await CompareKeys(std::move(leaves));
    }
    if (alike_.empty() || owners_ != compared) co_return complete_;

    // Leaves that differ while their keys do not: either they changed meanwhile, or one is wrong.
    std::vector<uint32_t> nothing_yet;
    co_await GatherLeaves(std::move(nothing_yet));
    if (owners_ != compared) co_return complete_;
    std::vector<uint32_t> doubtful;
    for (uint32_t leaf : alike_) {
      bool same = true;
      for (size_t i = 0; i < trees.size(); ++i) same &= trees[i][leaf] == trees_[i][leaf];
      if (same) doubtful.push_back(leaf);
    }
    if (!doubtful.empty()) co_await GatherLeaves(std::move(doubtful));
    co_return complete_;
  }

 private:
  struct Gathered {
    size_t owner;
    absl::StatusOr<Leaves> leaves;
  };
  struct Listed {
    size_t owner;
    absl::StatusOr<std::vector<KeyDigest>> keys;
  };

  // Leaves out who does not answer; everybody, where it is this node, for nothing can be merged
  // then.
  void Drop(const std::vector<bool>& answered) {
    std::vector<NodeId> kept;
    if (!answered[0]) {
      complete_ = false;
      owners_.clear();
      return;
    }
    for (size_t i = 0; i < owners_.size(); ++i) {
      if (answered[i]) kept.push_back(owners_[i]);
    }
    complete_ &= kept.size() == owners_.size();
    owners_ = std::move(kept);
  }

  // The leaves of all, after these were recomputed, into trees_.
  Task<void> GatherLeaves(std::vector<uint32_t> recompute) {
    Mailbox<Gathered> box(node_->env.loop);
    TaskGroup flows;
    for (size_t i = 0; i < owners_.size(); ++i) flows.Spawn(AskLeaves(i, recompute, box.sender()));
    std::vector<Leaves> trees(owners_.size());
    std::vector<bool> answered(owners_.size(), false);
    for (size_t i = 0; i < owners_.size(); ++i) {
      std::optional<Gathered> gathered = co_await box.Next();
      if (!gathered->leaves.ok()) continue;
      answered[gathered->owner] = true;
      trees[gathered->owner] = *std::move(gathered->leaves);
    }
    std::erase_if(trees, [](const Leaves& tree) { return tree.empty(); });
    trees_ = std::move(trees);
    Drop(answered);
  }

  Task<void> AskLeaves(size_t owner, std::vector<uint32_t> recompute,
                       Mailbox<Gathered>::Sender to) {
    LeavesRequest request{partition_, std::move(recompute)};
    absl::StatusOr<LeavesReply> reply = absl::UnavailableError("");
    if (owner == 0) {
      reply = co_await AnswerLeaves(node_, std::move(request));
    } else {
      PeerRequest question = std::move(request);
      reply = co_await Ask<LeavesReply>(node_, owners_[owner], std::move(question));
    }
    Gathered gathered{
        owner, reply.ok() ? DecodeLeaves(reply->leaves) : absl::StatusOr<Leaves>(reply.status())};
    // Posted, since the last one ends the flow that owns this one.
    node_->env.loop->Post(
        [to, gathered = std::move(gathered)]() mutable { to.Deliver(std::move(gathered)); });
  }

  Task<void> CompareKeys(std::vector<uint32_t> leaves) {
    Mailbox<Listed> box(node_->env.loop);
    TaskGroup flows;
    for (size_t i = 0; i < owners_.size(); ++i) flows.Spawn(AskKeys(i, leaves, box.sender()));
    std::vector<std::vector<KeyDigest>> lists(owners_.size());
    std::vector<bool> answered(owners_.size(), false);
    for (size_t i = 0; i < owners_.size(); ++i) {
      std::optional<Listed> listed = co_await box.Next();
      if (!listed->keys.ok()) continue;
      answered[listed->owner] = true;
      lists[listed->owner] = *std::move(listed->keys);
    }
    for (size_t i = owners_.size(); i-- > 0;) {
      if (!answered[i]) lists.erase(lists.begin() + static_cast<std::ptrdiff_t>(i));
    }
    Drop(answered);
    if (owners_.empty()) co_return;

    differences_ = Compare(lists);
    std::vector<bool> differs(kLeavesPerPartition, false);
    for (const Difference& difference : differences_) {
      if (ParseDataKey(difference.data_key).ok()) differs[LeafOf(difference.data_key).leaf] = true;
    }
    for (uint32_t leaf : leaves) {
      if (!differs[leaf]) alike_.push_back(leaf);
    }
    co_await RepairAll();
  }

  Task<void> AskKeys(size_t owner, std::vector<uint32_t> leaves, Mailbox<Listed>::Sender to) {
    Listed listed{owner, std::vector<KeyDigest>()};
    Bytes begin;
    do {
      KeysRequest request{partition_, leaves, begin, kKeyPageBytes};
      absl::StatusOr<KeysReply> reply = absl::UnavailableError("");
      if (owner == 0) {
        reply = co_await AnswerKeys(node_, std::move(request));
      } else {
        PeerRequest question = std::move(request);
        reply = co_await Ask<KeysReply>(node_, owners_[owner], std::move(question));
      }
      if (reply.ok() && !reply->next.empty() && reply->next <= begin) {
        reply = absl::DataLossError("a page of keys that does not go on");
      }
      if (!reply.ok()) {
        listed.keys = reply.status();
        break;
      }
      listed.keys->insert(listed.keys->end(), std::make_move_iterator(reply->keys.begin()),
                          std::make_move_iterator(reply->keys.end()));
      begin = std::move(reply->next);
    } while (!begin.empty());
    node_->env.loop->Post(
        [to, listed = std::move(listed)]() mutable { to.Deliver(std::move(listed)); });
  }

  // A few at a time, and not faster than the rate that is allowed.
  Task<void> RepairAll() {
    next_ = 0;
    Mailbox<bool> box(node_->env.loop);
    TaskGroup workers;
    const size_t count = std::min(kRepairsAtOnce, differences_.size());
    for (size_t i = 0; i < count; ++i) workers.Spawn(RepairSome(box.sender()));
    for (size_t i = 0; i < count; ++i) {
      std::optional<bool> repaired = co_await box.Next();
      complete_ &= *repaired;
    }
  }

  Task<void> RepairSome(Mailbox<bool>::Sender to) {
    bool all = true;
    while (next_ < differences_.size()) {
      const size_t which = next_++;
      const bool repaired = co_await Repair(which);
      all &= repaired;
    }
    node_->env.loop->Post([to, all] { to.Deliver(all); });
  }

  // Whether every owner that takes part has it now, durably.
  Task<bool> Repair(size_t which) {
    const Difference& difference = differences_[which];
    absl::StatusOr<ParsedDataKey> key = ParseDataKey(difference.data_key);
    if (!key.ok() || key->partition != partition_) co_return false;
    const Item item = std::move(key->item);
    bool repaired = true;
    size_t bytes = 0;

    std::vector<uint64_t> seen = {0, difference.digests[0]};
    for (size_t i = 1; i < owners_.size(); ++i) {
      const uint64_t digest = difference.digests[i];
      if (std::find(seen.begin(), seen.end(), digest) != seen.end()) continue;
      PeerRequest request = ReadRequest{item, UINT64_MAX};
      absl::StatusOr<ReadReply> reply =
          co_await Ask<ReadReply>(node_, owners_[i], std::move(request));
      if (!reply.ok()) {
        repaired = false;
        continue;
      }
      if (!reply->record.has_value()) continue;  // It is gone since.
      seen.push_back(digest);
      bytes += reply->record->size();
      ++node_->counters.records_fetched;
      if (PlantedBugs::Has(PlantedBug::kRepairOverwrites)) {
        co_await Overwrite(difference.data_key, *std::move(reply->record));
        continue;
      }
      Place here{item};
      Replica::Merging merging{*std::move(reply->record), reply->epoch};
      absl::Status merged =
          co_await node_->replica->ApplyMerge(std::move(here), std::move(merging));
      repaired &= merged.ok();
    }

    Item wanted = item;
    absl::StatusOr<Replica::Copy> own = co_await node_->replica->Read(std::move(wanted));
    if (!own.ok()) co_return false;
    const uint64_t digest =
        own->record.has_value() ? LeafDigest(item, *own->record, own->marked) : 0;
    if (digest == 0) co_return repaired;  // What is in no leaf is sent to nobody.
    const Bytes encoded = Encode(*own->record);
    for (size_t i = 1; i < owners_.size(); ++i) {
      if (difference.digests[i] == digest) continue;
      PeerRequest request = ReplicateRequest{item, encoded, own->stamp};
      bytes += encoded.size();
      ++node_->counters.records_sent;
      absl::StatusOr<ReplicateReply> reply =
          co_await Ask<ReplicateReply>(node_, owners_[i], std::move(request));
      repaired &= reply.ok();
    }
    node_->counters.bytes_moved += bytes;
    if (const uint64_t rate = node_->options.repair_bytes_per_second; rate > 0) {
      const Duration pause =
          FromSeconds(static_cast<double>(bytes * kRepairsAtOnce) / static_cast<double>(rate));
      co_await Sleep(node_->env.loop, pause);
    }
    co_return repaired;
  }

  // A mistake that this must never make (PlantedBug::kRepairOverwrites).
  Task<void> Overwrite(Bytes data_key, Bytes record) {
    absl::StatusOr<Record> decoded = DecodeRecord(record);
    if (!decoded.ok()) co_return;
    StoredRecord stored{.record = *std::move(decoded)};
    StorageBatch batch;
    batch.push_back({ColumnFamily::kData, std::move(data_key), annulus::Encode(stored)});
    absl::Status done = co_await Await<absl::Status>(
        [&](auto done) { node_->env.storage->Commit(std::move(batch), std::move(done)); });
    done.IgnoreError();
  }

  NodeContext* node_;
  PartitionId partition_;
  std::vector<NodeId> owners_;
  bool complete_ = true;
  std::vector<Leaves> trees_;            // In the order of owners_.
  std::vector<uint32_t> alike_;          // Leaves that differed, with equal keys.
  std::vector<Difference> differences_;  // Of the leaves that are compared now.
  size_t next_ = 0;                      // The first of them that nobody repairs.
};

}  // namespace

Task<bool> RunExchange(NodeContext* node, PartitionId partition, std::vector<NodeId> others) {
  ++node->counters.exchanges;
  Exchange exchange(node, partition, std::move(others));
  const bool complete = co_await exchange.Run();
  co_return complete;
}

Task<absl::StatusOr<LeavesReply>> AnswerLeaves(NodeContext* node, LeavesRequest request) {
  HashTree& tree = node->replica->tree();
  for (uint32_t leaf : request.recompute) {
    if (leaf >= kLeavesPerPartition) co_return absl::InvalidArgumentError("no such leaf");
    LeafId id{request.partition, leaf};
    absl::StatusOr<bool> wrong = co_await tree.Recompute(id);
    if (!wrong.ok()) co_return wrong.status();
    node->counters.leaves_corrected += *wrong;
  }
  absl::StatusOr<Leaves> leaves = co_await tree.ReadLeaves(request.partition);
  if (!leaves.ok()) co_return leaves.status();
  co_return LeavesReply{Encode(*leaves)};
}

Task<absl::StatusOr<KeysReply>> AnswerKeys(NodeContext* node, KeysRequest request) {
  const bool ascending = std::is_sorted(request.leaves.begin(), request.leaves.end());
  if (!ascending || (!request.leaves.empty() && request.leaves.back() >= kLeavesPerPartition)) {
    co_return absl::InvalidArgumentError("leaves must ascend, from 0 to 1023");
  }
  const size_t bytes_max = std::min<uint64_t>(request.bytes_max, 2 * kKeyPageBytes);
  absl::StatusOr<HashTree::KeyPage> page = co_await node->replica->tree().ListKeys(
      request.partition, std::move(request.leaves), std::move(request.begin), bytes_max);
  if (!page.ok()) co_return page.status();
  co_return KeysReply{std::move(page->keys), std::move(page->next)};
}

}  // namespace annulus
