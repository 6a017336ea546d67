#include "node/scan.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/planted.h"
#include "core/quorum/ack_quorum.h"
#include "core/ring/ring.h"
#include "node/get.h"
#include "task/await.h"
#include "task/mailbox.h"

namespace annulus {
namespace {

constexpr uint32_t kPageItemsMax = 256;
constexpr size_t kPageBytesMax = 1 << 20;
constexpr Duration kAttemptMax = 2s;

// A page ends after so many records, shown or not: a bucket full of tombstones makes progress too.
constexpr size_t kPageExaminedMax = 4096;

// What one owner holds of a range, its checksums verified.
struct Held {
  std::vector<std::pair<Bytes, Record>> records;
  bool more = false;
  Epoch stamp;   // See ReadReply.
  Epoch closed;  // The same.
};

struct Answered {
  NodeId replica;
  absl::StatusOr<Held> held;
};

absl::StatusOr<Held> Decoded(absl::StatusOr<RangeReply> reply) {
  if (!reply.ok()) return reply.status();
  if (reply->more && reply->entries.empty()) {
    return absl::DataLossError("an empty page that says more");
  }
  Held held{.more = reply->more, .stamp = reply->epoch, .closed = reply->closed};
  held.records.reserve(reply->entries.size());
  for (RangeReply::Entry& entry : reply->entries) {
    absl::StatusOr<Record> record = DecodeRecord(entry.record);
    if (!record.ok()) return record.status();
    held.records.emplace_back(std::move(entry.data_key), *std::move(record));
  }
  return held;
}

Task<void> AskHere(NodeContext* node, RangeRequest request, Mailbox<Answered>::Sender answers) {
  absl::StatusOr<RangeReply> reply = co_await ReadRangeHere(node, std::move(request));
  // Posted: an answer can end the scan, and with it this flow, which must not be running then.
  node->env.loop->Post(
      [answers, answered = Answered{node->id, Decoded(std::move(reply))}]() mutable {
        answers.Deliver(std::move(answered));
      });
}

// Forgets what was read before a round of reaping that another of them has closed since. Returns
// whether anything was.
bool ForgetStale(std::vector<Held>* replies, std::vector<NodeId>* answered_by) {
  Epoch closed;
  for (const Held& held : *replies) closed = std::max(closed, held.closed);
  bool any = false;
  for (size_t i = replies->size(); i-- > 0;) {
    if ((*replies)[i].stamp >= closed) continue;
    any = true;
    replies->erase(replies->begin() + static_cast<std::ptrdiff_t>(i));
    answered_by->erase(answered_by->begin() + static_cast<std::ptrdiff_t>(i));
  }
  return any;
}

// The same range from `required` of the owners: the others are asked where some fail or are silent.
Task<absl::StatusOr<std::vector<Held>>> AskOwners(NodeContext* node,
                                                  const std::vector<NodeId>& owners,
                                                  uint32_t required, RangeRequest request,
                                                  Instant deadline) {
  const std::vector<NodeId> order = node->peers->InAskingOrder(owners);
  std::vector<Held> replies;
  std::vector<NodeId> answered_by;
  Mailbox<Answered> answers(node->env.loop);
  TaskGroup local;
  absl::Status last = absl::UnavailableError("no answer");
  const Instant arrived = node->Now();
  size_t next = 0;
  uint32_t under_way = 0;
  bool hedge = false;

  while (replies.size() < required) {
    while (next < order.size() && (replies.size() + under_way < required || hedge)) {
      hedge = false;
      const NodeId replica = order[next++];
      if (std::find(answered_by.begin(), answered_by.end(), replica) != answered_by.end()) continue;
      ++under_way;
      if (replica == node->id) {
        local.Spawn(AskHere(node, request, answers.sender()));
        continue;
      }
      node->peers->Call(
          replica, request, std::min(deadline, node->Now() + kAttemptMax),
          [to = answers.sender(), replica](PeerResult result) {
            to.Deliver(
                {replica, Decoded(result.ok() ? std::get<RangeReply>(*std::move(result))
                                              : absl::StatusOr<RangeReply>(result.status()))});
          });
    }
    std::optional<Answered> answer =
        co_await answers.Next(std::min(deadline, node->Now() + node->options.silence_max));
    if (!answer.has_value()) {
      if (node->Now() >= deadline) {
        last = absl::DeadlineExceededError(
            absl::StrCat("the deadline passed; last error: ", last.message()));
        break;
      }
      hedge = true;
      if (next == order.size() && under_way == 0) {
        if (node->Now() - arrived > node->options.unreachable_max) break;
        next = 0;
      }
      continue;
    }
    --under_way;
    if (answer->held.ok()) {
      answered_by.push_back(answer->replica);
      replies.push_back(*std::move(answer->held));
      if (ForgetStale(&replies, &answered_by)) next = 0;
    } else {
      last = answer->held.status();
    }
  }
  if (replies.size() < required) co_return WithDetails(last, {.reason = "QUORUM_NOT_REACHED"});
  co_return replies;
}

struct Merged {
  std::map<Bytes, Record> records;
  Bytes next;  // Where to go on; empty at the end of the range.
};

// A reply that says `more` knows nothing behind its last entry, so the merge ends at the first such
// end.
Merged MergeReplies(std::vector<Held> replies) {
  Merged merged;
  std::optional<Bytes> last;
  for (const Held& held : replies) {
    if (!held.more) continue;
    const Bytes& end = held.records.back().first;
    if (!last.has_value() || end < *last) last = end;
  }
  for (Held& held : replies) {
    for (auto& [data_key, record] : held.records) {
      if (last.has_value() && data_key > *last) break;
      auto [slot, is_new] = merged.records.try_emplace(std::move(data_key));
      if (is_new) {
        slot->second = std::move(record);
      } else {
        Merge(&slot->second, record);
      }
    }
  }
  if (last.has_value()) merged.next = Successor(*last);
  return merged;
}

// Where a scan stands: the range of one partition after the other.
class Cursor {
 public:
  static absl::StatusOr<Cursor> Start(const NodeContext& node, const ScanRequest& request) {
    Cursor cursor(request, node.layout->partitions());
    if (request.page_token.empty()) return cursor;
    absl::StatusOr<Bytes> position =
        node.tokens.OpenPosition(request.bucket, request.key, request.page_token);
    if (!position.ok()) return position.status();
    if (!cursor.key_.empty()) {
      cursor.range_.begin = *std::move(position);
      return cursor;
    }
    ByteReader reader(*position);
    uint16_t partition;
    if (!reader.BigEndian16(&partition) || partition >= node.layout->partitions()) {
      return absl::InvalidArgumentError("the page token is of a cluster with other partitions");
    }
    cursor.Enter(PartitionId(partition));
    cursor.range_.begin = *std::move(position);
    return cursor;
  }

  PartitionId partition() const { return partition_; }
  const KeyRange& range() const { return range_; }
  bool done() const { return done_; }

  // Goes on from `next`, or in the next partition where this one is over.
  void Advance(Bytes next) {
    if (!next.empty()) {
      range_.begin = std::move(next);
    } else if (!key_.empty() || partition_.value() + 1 == partitions_) {
      done_ = true;
    } else {
      Enter(PartitionId(partition_.value() + 1));
    }
  }

 private:
  Cursor(const ScanRequest& request, uint32_t partitions)
      : bucket_(request.bucket), key_(request.key), partitions_(partitions) {
    if (key_.empty()) {
      Enter(PartitionId(0));
    } else {
      partition_ = PartitionOf(RingHash(bucket_, key_), partitions_);
      range_ = SortKeyRange(bucket_, key_, partitions_);
    }
  }

  void Enter(PartitionId partition) {
    partition_ = partition;
    range_ = BucketRange(partition, bucket_);
  }

  Bytes bucket_;
  Bytes key_;
  uint32_t partitions_;
  PartitionId partition_;
  KeyRange range_;
  bool done_ = false;
};

size_t BytesOf(const ScanItem& item) {
  size_t bytes = item.item.key.size() + item.item.sort_key.size() + item.answer.context.size();
  for (const ShownSibling& sibling : item.answer.siblings) bytes += sibling.value.size() + 32;
  return bytes;
}

}  // namespace

Task<absl::StatusOr<ScanPage>> RunScan(NodeContext* node, ScanRequest request, Instant deadline) {
  std::shared_ptr<const Layout> layout = node->layout;
  if (layout == nullptr) {
    co_return WithDetails(absl::UnavailableError(node->not_ready_reason), {.reason = "NOT_READY"});
  }
  if (absl::Status valid = ValidateBucket(request.bucket); !valid.ok()) co_return valid;
  if (request.key.size() > node->options.limits.key_bytes_max) {
    co_return absl::InvalidArgumentError(absl::StrCat("the key has ", request.key.size(),
                                                      " bytes; the limit is ",
                                                      node->options.limits.key_bytes_max));
  }
  absl::StatusOr<uint32_t> required =
      Resolve(request.r, static_cast<uint32_t>(layout->Owners(PartitionId(0)).size()), "r");
  if (!required.ok()) co_return required.status();
  absl::StatusOr<Cursor> cursor = Cursor::Start(*node, request);
  if (!cursor.ok()) co_return cursor.status();

  ScanPage page;
  size_t bytes = 0;
  size_t examined = 0;
  bool full = false;
  const uint64_t items_max =
      request.limit == 0 ? kPageItemsMax : std::min<uint64_t>(request.limit, kPageItemsMax);
  while (!cursor->done() && !full && page.items.size() < items_max && bytes < kPageBytesMax &&
         examined < kPageExaminedMax) {
    RangeRequest range{.partition = cursor->partition(),
                       .begin = cursor->range().begin,
                       .end = cursor->range().end,
                       .values = request.values,
                       .entries_max = static_cast<uint32_t>(items_max - page.items.size()),
                       .bytes_max = kPageBytesMax};
    absl::StatusOr<std::vector<Held>> replies = co_await AskOwners(
        node, layout->Owners(cursor->partition()), *required, std::move(range), deadline);
    if (!replies.ok()) co_return replies.status();
    Merged merged = MergeReplies(*std::move(replies));
    examined += merged.records.size();

    Bytes next = std::move(merged.next);
    if (PlantedBugs::Has(PlantedBug::kScanSkipsRest)) next.clear();
    for (auto& [data_key, record] : merged.records) {
      absl::StatusOr<ParsedDataKey> parsed = ParseDataKey(data_key);
      if (!parsed.ok()) co_return parsed.status();
      ScanItem item{.item = std::move(parsed->item)};
      item.answer = AnswerOf(*node, item.item, std::move(record), request.values);
      if (item.answer.siblings.empty() && !request.tombstones) continue;
      bytes += BytesOf(item);
      if (page.items.size() == items_max || (bytes > kPageBytesMax && !page.items.empty())) {
        next = data_key;
        full = true;
        break;
      }
      page.items.push_back(std::move(item));
    }
    cursor->Advance(std::move(next));
  }
  if (!cursor->done()) {
    page.page_token = node->tokens.SealPosition(request.bucket, request.key, cursor->range().begin);
  }
  co_return page;
}

Task<absl::StatusOr<RangeReply>> ReadRangeHere(NodeContext* node, RangeRequest request) {
  if (node->replica == nullptr || !node->Owns(request.partition)) {
    co_return node->NotOwner(request.partition);
  }
  const PartitionId partition = request.partition;
  if (absl::Status serves = node->epochs->CheckServes(partition); !serves.ok()) co_return serves;
  const Epoch stamp = node->epochs->Of(partition).current;
  using Page = absl::StatusOr<StoragePage>;
  Page page = co_await Await<Page>([&](auto done) {
    node->env.storage->ReadRange(
        ColumnFamily::kData, std::move(request.begin), std::move(request.end),
        std::min(request.entries_max, kPageItemsMax),
        std::min<uint64_t>(request.bytes_max, kPageBytesMax), std::move(done));
  });
  if (!page.ok()) co_return page.status();
  if (node->epochs->Of(partition).rebuilding) {
    co_return WithDetails(
        absl::UnavailableError(absl::StrCat(node->options.name, " is rebuilding partition ",
                                            partition.value(), ": it may lack anything")),
        {.reason = "REBUILDING"});
  }
  RangeReply reply{
      .more = page->more, .epoch = stamp, .closed = node->epochs->Of(partition).closed};
  reply.entries.reserve(page->entries.size());
  for (auto& [data_key, bytes] : page->entries) {
    absl::StatusOr<StoredRecord> stored = DecodeStored(bytes);
    if (!stored.ok()) {
      node->replica->NoteDamage(ColumnFamily::kData, data_key);
      co_return stored.status();
    }
    reply.entries.push_back(
        {std::move(data_key),
         Encode(request.values ? stored->record : WithoutValues(stored->record))});
  }
  co_return reply;
}

}  // namespace annulus
