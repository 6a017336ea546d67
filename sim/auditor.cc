#include "sim/auditor.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/checksum.h"
#include "core/hint/hint.h"
#include "core/quorum/replicas.h"
#include "core/ring/ring.h"
#include "core/version/stored.h"
#include "node/epochs.h"

namespace annulus::sim {

namespace {

// One broken rule tends to be broken again and again.
constexpr size_t kViolationsMax = 5;
// What an exchange names was read a little before; by then it was not marked yet.
constexpr Duration kNamedAfterRead = 2s;
// What a node has lost it has again by then, as far as others have it.
constexpr Duration kRebuiltWithin = 60s;

std::string NameOf(BytesView data_key) {
  const absl::StatusOr<ParsedDataKey> parsed = ParseDataKey(data_key);
  if (!parsed.ok()) return "?";
  return absl::StrCat(parsed->item.key, parsed->item.sort_key.empty() ? "" : "/",
                      parsed->item.sort_key);
}

// Empty where it is none, or damaged.
Hint HintOf(const std::optional<Bytes>& bytes) {
  return bytes.has_value() ? DecodeHint(*bytes).value_or(Hint()) : Hint();
}

bool HasValue(const Record& record) {
  return std::any_of(record.siblings.begin(), record.siblings.end(),
                     [](const Sibling& sibling) { return !sibling.tombstone; });
}

bool HasDot(const Record& record, Dot dot) {
  return std::any_of(record.siblings.begin(), record.siblings.end(),
                     [dot](const Sibling& sibling) { return sibling.dot == dot; });
}

}  // namespace

Auditor::Auditor(Cluster* cluster)
    : cluster_(cluster),
      ids_(cluster->nodes() + 1),
      lost_at_(cluster->nodes() + 1, Instant::min()) {
  for (int i = 1; i <= cluster->nodes(); ++i) cluster->Node(i).disk().set_watcher(this);
  cluster->net().AddWatcher(this);
  cluster->set_watcher(this);
}

Auditor::~Auditor() {
  for (int i = 1; i <= cluster_->nodes(); ++i) cluster_->Node(i).disk().set_watcher(nullptr);
  cluster_->set_watcher(nullptr);
  cluster_->net().RemoveWatcher(this);
}

void Auditor::Report(std::string line) {
  cluster_->world().Tell(line);
  if (violations_.size() < kViolationsMax) violations_.push_back(std::move(line));
}

bool Auditor::KnowsLayout() {
  if (layout_.has_value()) return true;
  const Layout* layout = cluster_->AnyLayout();
  if (layout == nullptr) return false;
  layout_ = *layout;
  for (const Member& member : layout_->members()) {
    const uint16_t number = cluster_->Find(member.name)->index();
    numbers_[member.id] = number;
    ids_[number] = member.id;
  }
  return true;
}

Bytes Auditor::KeyOf(const Item& item) const {
  return DataKey(item, cluster_->options().partitions);
}

std::optional<Record> Auditor::HeldBy(int node, const Bytes& data_key) const {
  const std::optional<Bytes> bytes = DiskOf(node).Peek(ColumnFamily::kData, data_key);
  if (!bytes.has_value()) return std::nullopt;
  absl::StatusOr<StoredRecord> stored = DecodeStored(*bytes);
  if (!stored.ok()) return std::nullopt;
  return std::move(stored->record);
}

bool Auditor::Holds(int node, const Bytes& data_key, const VersionVector& dots) const {
  const std::optional<Record> own = HeldBy(node, data_key);
  if (own.has_value() && own->vector.Covers(dots)) return true;
  for (const NodeId owner : layout_->Owners(LeafOf(data_key).partition)) {
    const auto bytes = DiskOf(node).Peek(ColumnFamily::kHint, HintKey(owner, data_key));
    if (!bytes.has_value()) continue;
    const absl::StatusOr<Hint> hint = DecodeHint(*bytes);
    if (hint.ok() && hint->stored.record.vector.Covers(dots)) return true;
  }
  return false;
}

PartitionEpochs Auditor::EpochsAt(int node, BytesView data_key) const {
  const auto bytes = DiskOf(node).Peek(ColumnFamily::kMeta, EpochsKey(LeafOf(data_key).partition));
  return bytes.has_value() ? DecodeEpochs(*bytes).value_or(PartitionEpochs()) : PartitionEpochs();
}

// A value that the record shows and the deleted one had replaced.
bool Auditor::BringsBack(const Record& record, Epoch stamp, const Reaped& reaped) {
  if (stamp < reaped.closed) return false;
  return std::any_of(record.siblings.begin(), record.siblings.end(), [&](const Sibling& sibling) {
    return !sibling.tombstone && reaped.record.vector.Covers(sibling.dot) &&
           !HasDot(reaped.record, sibling.dot);
  });
}

void Auditor::OnCall(uint16_t from, uint64_t call, const PeerRequest& request) {
  Asked asked{.at = cluster_->world().now()};
  if (const auto* replicate = std::get_if<ReplicateRequest>(&request)) {
    OnRecordSent(from, KeyOf(replicate->item), replicate->record, replicate->epoch);
  } else if (const auto* read = std::get_if<ReadRequest>(&request)) {
    asked.data_key = KeyOf(read->item);
    asked_[{LifeOf(from), call}] = std::move(asked);
  } else if (const auto* epochs = std::get_if<EpochsRequest>(&request)) {
    asked.partitions = epochs->partitions;
    asked_[{LifeOf(from), call}] = std::move(asked);
  }
}

void Auditor::OnAnswer(uint16_t from, uint16_t to, uint64_t call, const PeerResult& answer) {
  if (!answer.ok()) return;
  const auto asked = asked_.find({LifeOf(to), call});
  if (const auto* range = std::get_if<RangeReply>(&*answer)) {
    for (const RangeReply::Entry& entry : range->entries) {
      OnRecordSent(from, entry.data_key, entry.record, range->epoch);
    }
  } else if (const auto* keys = std::get_if<KeysReply>(&*answer)) {
    OnKeysTold(from, *keys);
  } else if (asked == asked_.end()) {
    return;
  } else if (const auto* read = std::get_if<ReadReply>(&*answer)) {
    if (read->record.has_value()) {
      OnRecordSent(from, asked->second.data_key, *read->record, read->epoch);
    }
  }
}

void Auditor::OnAnswerArrived(uint16_t from, uint16_t to, uint64_t call, const PeerResult& answer) {
  const auto found = asked_.find({LifeOf(to), call});
  if (found == asked_.end()) return;
  const Asked asked = std::move(found->second);
  asked_.erase(found);
  if (answer.ok() && std::holds_alternative<EpochsReply>(*answer) && from <= cluster_->nodes()) {
    for (const PartitionId partition : asked.partitions) {
      told_in_[{to, partition}][from] = LifeOf(to).second;
    }
    return;
  }
  const auto reading = readings_.find({LifeOf(to), asked.data_key});
  if (!answer.ok() || reading == readings_.end() || asked.at < reading->second.since) return;
  const auto* read = std::get_if<ReadReply>(&*answer);
  if (read == nullptr) return;
  Reading& at = reading->second;
  at.closed = std::max(at.closed, read->closed);
  if (from <= cluster_->nodes() && layout_->Owns(ids_[from], LeafOf(asked.data_key).partition)) {
    if (!read->rebuilding) at.whole.insert(from);
  }
  if (!read->record.has_value()) return;
  const absl::StatusOr<Record> record = DecodeRecord(*read->record);
  if (!record.ok()) return;
  for (const Sibling& sibling : record->siblings) {
    Epoch& stamp = at.stamps.try_emplace(sibling.request_id, read->epoch).first->second;
    stamp = std::max(stamp, read->epoch);
  }
}

void Auditor::OnGet(uint16_t process, const GetRequest& request) {
  if (!KnowsLayout()) return;
  Reading& reading = readings_[{LifeOf(process), KeyOf(request.item)}];
  if (++reading.running > 1) {
    reading.alone = false;
    return;
  }
  const auto owners = static_cast<uint32_t>(layout_->Owners(PartitionId(0)).size());
  reading = Reading{.running = 1,
                    .alone = true,
                    .strict = !request.sloppy,
                    .wants = Resolve(request.r, owners, "r").value_or(0),
                    .since = cluster_->world().now()};
}

// At a process that owns nothing of the item: others read their own copies besides.
void Auditor::OnGot(uint16_t process, const Item& item, const absl::StatusOr<GetAnswer>& answer) {
  if (!KnowsLayout()) return;
  const Bytes data_key = KeyOf(item);
  const auto found = readings_.find({LifeOf(process), data_key});
  if (found == readings_.end()) return;
  const Reading reading = found->second;
  if (--found->second.running == 0) readings_.erase(found);
  const bool owns =
      process <= cluster_->nodes() && layout_->Owns(ids_[process], LeafOf(data_key).partition);
  if (!reading.alone || !answer.ok() || owns) return;
  if (reading.strict && reading.whole.size() < reading.wants) {
    Report(absl::StrCat("TOO FEW ANSWERS ", NameOf(data_key), ": ",
                        cluster_->Process(process).name(), " answers a strict read of ",
                        reading.wants, " owners, of which ", reading.whole.size(), " can count"));
  }
  for (const ShownSibling& sibling : answer->siblings) {
    const auto stamp = reading.stamps.find(sibling.request_id);
    if (stamp == reading.stamps.end() || stamp->second >= reading.closed) continue;
    Report(absl::StrCat("STALE READ ", NameOf(data_key), ": ", cluster_->Process(process).name(),
                        " shows a value that was read in epoch ", stamp->second.value(),
                        ", after an owner closed all below ", reading.closed.value()));
  }
}

void Auditor::OnRecordSent(uint16_t from, const Bytes& data_key, BytesView bytes, Epoch stamp) {
  OfItem& item = items_[data_key];
  const auto [at, is_new] = item.sent.try_emplace({stamp, Hash64(bytes)});
  if (!is_new) return;
  absl::StatusOr<Record> record = DecodeRecord(bytes);
  if (!record.ok() || !HasValue(*record)) return;
  at->second = *std::move(record);
  for (const Reaped& reaped : item.reaped) {
    if (!BringsBack(at->second, stamp, reaped)) continue;
    Report(absl::StrCat("BRINGS BACK ", NameOf(data_key), ": ", cluster_->Process(from).name(),
                        " sends a value under stamp ", stamp.value(),
                        ", which was deleted for good when ", reaped.closed.value(),
                        " was the lowest accepted"));
  }
}

void Auditor::OnKeysTold(uint16_t from, const KeysReply& reply) {
  for (const KeyDigest& key : reply.keys) {
    const auto marked = marked_since_.find({from, key.data_key});
    if (marked == marked_since_.end() || key.digest == 0) continue;
    if (cluster_->world().now() - marked->second < kNamedAfterRead) continue;
    Report(absl::StrCat("MARKED IS NAMED ", NameOf(key.data_key), ": ",
                        cluster_->Process(from).name(), " names it in an exchange"));
  }
}

void Auditor::OnWritten(const Item& item, const absl::StatusOr<WriteAnswer>& answer,
                        Instant asked) {
  if (!answer.ok() || !KnowsLayout()) return;
  const Bytes data_key = KeyOf(item);
  const OfItem& audited = items_[data_key];
  if (last_loss_ >= asked || audited.last_reaped >= asked) return;
  const VersionVector dots = cluster_->OpenContext(item, answer->context);
  std::set<int> holders;
  for (int i = 1; i <= cluster_->nodes(); ++i) {
    if (Holds(i, data_key, dots)) holders.insert(i);
  }
  for (const HandedOff& hint : audited.handed_off) {
    if (hint.at >= asked && hint.dots.Covers(dots)) holders.insert(hint.by);
  }
  if (holders.size() >= answer->acks.required) return;
  Report(absl::StrCat("FEWER COPIES ", NameOf(data_key), ": a write is acknowledged that wants ",
                      answer->acks.required, " nodes and lies on ", holders.size()));
}

void Auditor::OnLoss(uint16_t process) {
  last_loss_ = lost_at_[process] = cluster_->world().now();
  // Of what it has now nobody knows since when it is marked.
  std::erase_if(marked_since_, [&](const auto& mark) { return mark.first.first == process; });
}

void Auditor::OnApply(uint16_t process, const StorageBatch& batch) {
  if (!KnowsLayout()) return;
  for (const StorageWrite& write : batch) {
    if (write.end.has_value()) {
      // An owner's old copy is set aside; or a non-owner drops what had been delivered.
      if (write.family == ColumnFamily::kData) OnLoss(process);
      if (write.family != ColumnFamily::kHint) continue;
      const SimDisk::Map& hints = DiskOf(process).Entries(ColumnFamily::kHint);
      for (auto it = hints.lower_bound(write.key); it != hints.end() && it->first < *write.end;
           ++it) {
        OnHintChange(process, it->first, std::nullopt);
      }
    } else if (write.family == ColumnFamily::kHint) {
      OnHintChange(process, write.key, write.value);
    } else if (write.family == ColumnFamily::kData) {
      OnRecordChange(process, write.key, write.value);
    }
  }
}

void Auditor::OnHintChange(uint16_t process, const Bytes& key, const std::optional<Bytes>& value) {
  const absl::StatusOr<ParsedHintKey> parsed = ParseHintKey(key);
  if (!parsed.ok()) return;
  const auto before = DiskOf(process).Peek(ColumnFamily::kHint, key);
  const Hint hint = HintOf(before);
  const Hint after = HintOf(value);
  const std::string& name = cluster_->Process(process).name();
  if (after.pointer == 0 && after.stored.record != Record()) {
    const Epoch stamp = after.stored.epoch;
    const bool is_new = hint.stored.record == Record();
    if ((is_new || stamp < hint.stored.epoch) &&
        stamp < EpochsAt(process, parsed->data_key).current) {
      Report(absl::StrCat("KEEPS STALE ", NameOf(parsed->data_key), ": ", name,
                          " takes what was read in epoch ", stamp.value(),
                          ", after it has noted a higher one"));
    }
    if (!is_new && stamp > hint.stored.epoch) {
      Report(absl::StrCat("STAMP RISES ", NameOf(parsed->data_key), ": of a hint of ", name));
    }
  }
  const auto place = std::make_pair(process, key);
  if (hint.pointer != 0 || hint.stored.record == Record()) {
    hints_since_[place] = cluster_->world().now();
    return;
  }
  const VersionVector& held = hint.stored.record.vector;
  OfItem& item = items_[parsed->data_key];
  VersionVector known = item.gone;
  known.Merge(after.stored.record.vector);
  if (after.pointer != 0) {
    if (const auto own = HeldBy(process, parsed->data_key)) known.Merge(own->vector);
  }
  const Instant since = hints_since_.try_emplace(place, Instant::min()).first->second;
  if (!value.has_value()) item.handed_off.push_back({process, held, cluster_->world().now()});
  const int target = numbers_.at(parsed->target);
  if (const auto own = HeldBy(target, parsed->data_key)) known.Merge(own->vector);
  if (known.Covers(held) || lost_at_[target] + kRebuiltWithin >= since) return;
  Report(absl::StrCat("HINT DROPPED ", NameOf(parsed->data_key), ": ", name,
                      " drops what it keeps for ", cluster_->Process(target).name(),
                      ", which does not have it"));
}

void Auditor::CheckTold(uint16_t process, const Bytes& key) {
  SimProcess& owner = cluster_->Process(process);
  // What a crash leaves on the disk is of the life that it ended.
  const int life = owner.crashes() - (owner.loop()->dead() ? 1 : 0);
  const PartitionId partition = LeafOf(key).partition;
  if (layout_->Owners(partition).size() == 1) return;
  for (const auto& [by, in] : told_in_[{process, partition}]) {
    if (in == life && layout_->Owns(ids_[by], partition)) return;
  }
  Report(absl::StrCat("NOT TOLD ", NameOf(key), ": ", owner.name(),
                      " takes it before another owner has told it the epochs"));
}

void Auditor::OnRecordChange(uint16_t process, const Bytes& key,
                             const std::optional<Bytes>& value) {
  std::optional<Bytes> before = DiskOf(process).Peek(ColumnFamily::kData, key);
  const auto mark = std::make_pair(process, key);
  if (value.has_value()) {
    const absl::StatusOr<StoredRecord> after = DecodeStored(*value);
    if (after.ok() && after->marked) {
      marked_since_.try_emplace(mark, cluster_->world().now());
    } else {
      marked_since_.erase(mark);
    }
    if (!after.ok()) return;
    CheckTold(process, key);
    if (after->record != Record()) return;
  }
  marked_since_.erase(mark);
  if (!before.has_value()) return;
  absl::StatusOr<StoredRecord> stored = DecodeStored(*before);
  if (!stored.ok()) {  // It rotted, and is fetched again.
    OnLoss(process);
    return;
  }
  if (stored->record == Record()) return;
  const std::string& name = cluster_->Process(process).name();
  if (!stored->marked) {
    Report(absl::StrCat("NOT MARKED ", NameOf(key), ": ", name, " deletes it for good"));
  }
  const PartitionEpochs epochs = EpochsAt(process, key);
  if (stored->epoch >= epochs.current) {
    Report(absl::StrCat("CHANGED SINCE ", NameOf(key), ": ", name,
                        " deletes it for good in the epoch in which it changed"));
  }
  OfItem& item = items_[key];
  item.gone.Merge(stored->record.vector);
  item.last_reaped = cluster_->world().now();
  item.reaped.push_back({std::move(stored->record), epochs.closed});
  for (const auto& [sent, record] : item.sent) {
    if (!BringsBack(record, sent.first, item.reaped.back())) continue;
    Report(absl::StrCat("BRINGS BACK ", NameOf(key), ": ", name, " deletes it for good, accepts ",
                        item.reaped.back().closed.value(), " and more, and under ",
                        sent.first.value(), " a value was sent that it had replaced"));
  }
}

}  // namespace annulus::sim
