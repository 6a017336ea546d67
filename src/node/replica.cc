#include "node/replica.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/planted.h"
#include "core/error.h"
#include "core/reap/dead.h"
#include "core/ring/ring.h"
#include "task/await.h"
#include "task/mailbox.h"
#include "task/sleep.h"

namespace annulus {
namespace {

// Between looks at a leaf that is being recomputed, which takes milliseconds and is rare.
constexpr Duration kHeldLeafPause = 1ms;

absl::Status NotApplied(absl::Status status, std::string reason) {
  return WithDetails(std::move(status),
                     {.reason = std::move(reason), .outcome = Outcome::kNotApplied});
}

absl::Status TooLate() {
  return NotApplied(
      absl::DeadlineExceededError("the time for it passed before the item's latch was free"),
      "LATCH_BUSY");
}

absl::Status RefusalOf(MintVerdict verdict, const Limits& limits) {
  if (verdict == MintVerdict::kTooManySiblings) {
    return NotApplied(absl::ResourceExhaustedError(absl::StrCat(
                          "the item would have more than ", limits.siblings_max,
                          " siblings; read it and write one value with the context of the read")),
                      "TOO_MANY_SIBLINGS");
  }
  return NotApplied(
      absl::ResourceExhaustedError(absl::StrCat(
          "the item's siblings would together be larger than ", limits.record_bytes_max,
          " bytes; read it and write one value with the context of the read")),
      "RECORD_TOO_LARGE");
}

// A pointer, or nothing, becomes a record. Returns whether that changed anything.
bool MakeRecord(Hint* hint, bool counted) {
  const bool changed = hint->pointer != 0 || (counted && !hint->counted);
  hint->pointer = 0;
  hint->counted |= counted;
  return changed;
}

// Returns whether *into changed.
bool MergeOrOverwrite(Record* into, const Record& record) {
  if (!PlantedBugs::Has(PlantedBug::kReplicaOverwrites)) return annulus::Merge(into, record);
  const bool changed = !SameVersions(*into, record);
  *into = record;
  return changed;
}

// Rules STAMPS_NEVER_RISE and LOWEST_STAMP: what is merged into a hint has the lower one from then
// on.
bool MergeIntoHint(StoredRecord* stored, const Record& record, Epoch stamp) {
  const bool was_empty = stored->record == Record();
  bool changed = MergeOrOverwrite(&stored->record, record);
  const bool rises = PlantedBugs::Has(PlantedBug::kStampRises);
  if (was_empty || (rises ? stamp > stored->epoch : stamp < stored->epoch)) {
    changed |= stored->epoch != stamp;
    stored->epoch = stamp;
  }
  return changed;
}

absl::Status NotEligible() {
  return NotApplied(absl::FailedPreconditionError("the copy is not what the round is about"),
                    "NOT_ELIGIBLE");
}

// The ledger must not lose what it has not counted yet.
absl::Status NotCounted() {
  return NotApplied(absl::UnavailableError("the hints of this node's last life are still counted"),
                    "HINTS_NOT_COUNTED");
}

absl::Status HintsFull(std::string why) {
  return NotApplied(absl::ResourceExhaustedError(std::move(why)), "HINTS_FULL");
}

}  // namespace

// One change and who waits for it.
struct Replica::Change {
  struct Merge {
    Record record;
    Epoch stamp;
    bool counted = false;
  };
  struct Point {
    uint64_t serial = 0;
  };
  struct Discard {
    Bytes encoded;
  };
  struct DropDamaged {};
  struct Mark {
    uint64_t digest = 0;
    Epoch epoch;
  };
  struct Unmark {};
  struct Reap {
    Epoch epoch;
  };
  std::variant<Mint, Merge, Point, Discard, DropDamaged, Mark, Unmark, Reap> what;
  Instant deadline = kForever;                              // Of a mint or merge.
  absl::AnyInvocable<void(absl::StatusOr<Minted>)> minted;  // The same.
  DurableDone durable;

  bool IsMint() const { return std::holds_alternative<Mint>(what); }
  bool IsDrop() const { return std::holds_alternative<DropDamaged>(what); }
};

// What a copy leaves beside its record: its part of a leaf, and its places in the indexes.
struct Replica::Traces {
  uint64_t digest = 0;
  std::optional<WallTime> dies_at;
  bool marked = false;

  static Traces Of(const Item& item, const StoredRecord& stored) {
    return {LeafDigest(item, stored), DiesAt(stored.record), stored.marked};
  }
};

// An own copy is held in memory as the record of a hint for nobody: what differs is how it is
// stored.
struct Replica::Latch {
  Place place;
  ColumnFamily family;
  Bytes key;
  PartitionId partition;
  size_t hint_bytes = 0;  // Of the hint as it is stored, key included; 0 where there is none.
  std::vector<std::unique_ptr<Change>> waiting;

  bool IsHint() const { return place.hint_for != NodeId(); }
};

Replica::Replica(Env env, Incarnation incarnation, Epochs* epochs, Options options)
    : env_(env),
      options_(options),
      epochs_(epochs),
      tree_(env, options.partitions),
      minting_(incarnation),
      hints_(options.hint_limits) {
  tree_.set_on_damage([this](const Bytes& data_key) { NoteDamage(ColumnFamily::kData, data_key); });
}

Task<absl::StatusOr<Replica::Minted>> Replica::ApplyMint(Place place, Mint mint, Instant deadline,
                                                         DurableDone durable) {
  if (absl::Status serves = epochs_->CheckServes(PartitionOf(place.item)); !serves.ok()) {
    co_return serves;
  }
  if (absl::Status admitted = AdmitHint(place, mint.value.size()); !admitted.ok()) {
    co_return admitted;
  }
  auto change = std::make_unique<Change>();
  change->what = std::move(mint);
  change->deadline = deadline;
  change->durable = std::move(durable);
  Mailbox<absl::StatusOr<Minted>> box(env_.loop);
  change->minted = [to = box.sender()](absl::StatusOr<Minted> minted) {
    to.Deliver(std::move(minted));
  };
  Enqueue(std::move(place), std::move(change));
  std::optional<absl::StatusOr<Minted>> minted = co_await box.Next(deadline);
  if (minted.has_value()) co_return *std::move(minted);
  co_return TooLate();  // And Apply drops it, since its deadline has passed.
}

Task<absl::Status> Replica::ApplyMerge(Place place, Merging merging) {
  absl::Status status = co_await Await<absl::Status>(
      [&](auto done) { Merge(std::move(place), std::move(merging), std::move(done)); });
  co_return status;
}

void Replica::Merge(Place place, Merging merging, DurableDone done) {
  absl::Status admitted = epochs_->CheckServes(PartitionOf(place.item));
  if (admitted.ok()) admitted = AdmitHint(place, merging.record.size());
  if (!admitted.ok()) return done(std::move(admitted));
  absl::StatusOr<Record> record = DecodeRecord(merging.record);
  if (!record.ok()) return done(record.status());
  auto change = std::make_unique<Change>();
  change->what = Change::Merge{*std::move(record), merging.stamp, merging.counted};
  change->deadline = merging.deadline;
  change->durable = std::move(done);
  Enqueue(std::move(place), std::move(change));
}

Task<absl::Status> Replica::Point(Place place) {
  if (absl::Status admitted = AdmitHint(place, 0); !admitted.ok()) co_return admitted;
  auto change = std::make_unique<Change>();
  change->what = Change::Point{env_.random->Next() | 1};
  absl::Status status = co_await Run(std::move(place), std::move(change));
  co_return status;
}

Task<absl::Status> Replica::Discard(Place place, Bytes encoded) {
  if (!hints_counted_) co_return NotCounted();
  auto change = std::make_unique<Change>();
  change->what = Change::Discard{std::move(encoded)};
  absl::Status status = co_await Run(std::move(place), std::move(change));
  co_return status;
}

Task<absl::StatusOr<Replica::Copy>> Replica::Read(Item item) {
  const Bytes key = DataKey(item, options_.partitions);
  const PartitionId partition = LeafOf(key).partition;
  if (absl::Status serves = epochs_->CheckServes(partition); !serves.ok()) co_return serves;
  // Rule MARKED_IS_READ: a mark hides nothing here.
  Copy copy{.stamp = epochs_->Of(partition).current};
  Bytes data_key = key;
  absl::StatusOr<std::optional<StoredRecord>> stored = co_await Load(std::move(data_key));
  if (!stored.ok()) co_return stored.status();
  copy.closed = epochs_->Of(partition).closed;
  copy.rebuilding = epochs_->Of(partition).rebuilding;
  if (stored->has_value()) {
    copy.marked = (*stored)->marked;
    copy.record = std::move((*stored)->record);
  }
  co_return copy;
}

std::optional<absl::StatusOr<Replica::Copy>> Replica::ReadNow(const Item& item) {
  const Bytes key = DataKey(item, options_.partitions);
  std::optional<absl::StatusOr<StoredRecord>> stored = LoadNow(key);
  if (!stored.has_value()) return std::nullopt;
  const PartitionId partition = LeafOf(key).partition;
  if (absl::Status serves = epochs_->CheckServes(partition); !serves.ok()) return serves;
  if (!stored->ok()) return stored->status();
  const PartitionEpochs& epochs = epochs_->Of(partition);
  return Copy{.record = std::move((*stored)->record),
              .stamp = epochs.current,
              .closed = epochs.closed,
              .marked = (*stored)->marked,
              .rebuilding = epochs.rebuilding};
}

Task<absl::StatusOr<Replica::Copy>> Replica::ReadHints(Item item, std::vector<NodeId> targets) {
  const Bytes data_key = DataKey(item, options_.partitions);
  const PartitionId partition = LeafOf(data_key).partition;
  if (absl::Status serves = epochs_->CheckServes(partition); !serves.ok()) co_return serves;
  Copy merged{.stamp = epochs_->Of(partition).current};
  for (NodeId target : targets) {
    if (hints_counted_ && hints_.AccountOf(target).entries == 0) continue;
    Bytes key = HintKey(target, data_key);
    absl::StatusOr<std::optional<Hint>> hint = co_await LoadHint(std::move(key));
    if (!hint.ok()) co_return hint.status();
    if (!hint->has_value() || (*hint)->pointer != 0) continue;
    const StoredRecord& stored = (*hint)->stored;
    if (!merged.record.has_value()) merged.record = Record();
    annulus::Merge(&*merged.record, stored.record);
    merged.stamp = std::min(merged.stamp, stored.epoch);
  }
  merged.rebuilding = epochs_->Of(partition).rebuilding;
  co_return merged;
}

Task<absl::StatusOr<bool>> Replica::IsEligible(Bytes data_key, uint64_t digest) {
  absl::StatusOr<ParsedDataKey> key = ParseDataKey(data_key);
  if (!key.ok()) co_return key.status();
  absl::StatusOr<std::optional<StoredRecord>> stored = co_await Load(std::move(data_key));
  if (!stored.ok()) co_return stored.status();
  const StoredRecord copy = std::move(*stored).value_or(StoredRecord());
  if (PlantedBugs::Has(PlantedBug::kReapUnequal)) co_return true;
  co_return LeafDigest(key->item, copy) ==
      digest&& annulus::IsEligible(copy, epochs_->Of(key->partition), env_.clock->Wall(),
                                   options_.clock_skew_max);
}

Task<absl::Status> Replica::Mark(Bytes data_key, uint64_t digest, Epoch epoch) {
  absl::Status status = co_await RunAt(std::move(data_key), Change::Mark{digest, epoch});
  co_return status;
}

Task<absl::Status> Replica::Unmark(Bytes data_key) {
  absl::Status status = co_await RunAt(std::move(data_key), Change::Unmark{});
  co_return status;
}

Task<absl::Status> Replica::Reap(Bytes data_key, Epoch epoch) {
  absl::Status status = co_await RunAt(std::move(data_key), Change::Reap{epoch});
  co_return status;
}

template <class What>
Task<absl::Status> Replica::RunAt(Bytes data_key, What what) {
  absl::StatusOr<ParsedDataKey> key = ParseDataKey(data_key);
  if (!key.ok()) co_return key.status();
  auto change = std::make_unique<Change>();
  change->what = std::move(what);
  Place place{std::move(key->item), NodeId()};
  absl::Status status = co_await Run(std::move(place), std::move(change));
  co_return status;
}

Task<absl::Status> Replica::DropDamaged(ColumnFamily family, Bytes key) {
  Place place;
  Bytes data_key = std::move(key);
  if (family == ColumnFamily::kHint) {
    absl::StatusOr<ParsedHintKey> hint = ParseHintKey(data_key);
    if (!hint.ok()) co_return hint.status();
    if (!hints_counted_) co_return NotCounted();
    place.hint_for = hint->target;
    data_key = std::move(hint->data_key);
  }
  absl::StatusOr<ParsedDataKey> parsed = ParseDataKey(data_key);
  if (!parsed.ok()) co_return parsed.status();
  place.item = std::move(parsed->item);
  auto change = std::make_unique<Change>();
  change->what = Change::DropDamaged{};
  absl::Status dropped = co_await Run(std::move(place), std::move(change));
  co_return dropped;
}

StorageBatch Replica::RemovalOf(PartitionId partition) {
  StorageBatch batch;
  const auto remove = [&](ColumnFamily family, KeyRange range) {
    batch.push_back({.family = family, .key = std::move(range.begin), .end = std::move(range.end)});
  };
  remove(ColumnFamily::kData, PartitionRange(partition));
  remove(ColumnFamily::kTree, TreeRange(partition));
  remove(ColumnFamily::kMeta, DyingRange(partition));
  remove(ColumnFamily::kMeta, MarkRange(partition));
  return batch;
}

void Replica::NoteDamage(ColumnFamily family, const Bytes& key) { on_damage_(family, key); }

Task<absl::Status> Replica::Run(Place place, std::unique_ptr<Change> change) {
  absl::Status status = co_await Await<absl::Status>([&](auto done) {
    change->durable = std::move(done);
    Enqueue(std::move(place), std::move(change));
  });
  co_return status;
}

Task<absl::Status> Replica::CountHints() {
  constexpr size_t kPageEntries = 4096;
  constexpr size_t kPageBytes = 1 << 20;
  hints_ = HintLedger(options_.hint_limits);
  Bytes begin;
  while (true) {
    using Page = absl::StatusOr<StoragePage>;
    Page page = co_await Await<Page>([&](auto done) {
      env_.storage->ReadRange(ColumnFamily::kHint, begin, HintsEnd(NodeId(UINT64_MAX)),
                              kPageEntries, kPageBytes, std::move(done));
    });
    if (!page.ok()) co_return page.status();
    for (const auto& [key, value] : page->entries) {
      absl::StatusOr<ParsedHintKey> parsed = ParseHintKey(key);
      if (!parsed.ok()) co_return parsed.status();
      if (PlantedBugs::Has(PlantedBug::kHintLostAtRestart)) continue;
      hints_.Changed(parsed->target, 0, key.size() + value.size());
    }
    if (!page->more) break;
    begin = Successor(page->entries.back().first);
  }
  hints_counted_ = true;
  co_return absl::OkStatus();
}

absl::Status Replica::AdmitHint(const Place& place, size_t bytes) const {
  if (place.hint_for == NodeId()) return absl::OkStatus();
  if (!hints_counted_) return HintsFull("the hints of this node's last life are still counted");
  // The key and the frame round the record; what is merged into it only makes this too much.
  constexpr size_t kFrameBytes = 64;
  if (hints_.Admits(place.hint_for, bytes + place.item.key.size() + kFrameBytes)) {
    return absl::OkStatus();
  }
  return HintsFull(
      absl::StrCat("the hints kept here have reached their limit (hint_mb): ", hints_.total().bytes,
                   " bytes in all, ", hints_.AccountOf(place.hint_for).bytes, " for node ",
                   ToHex(place.hint_for)));
}

void Replica::Enqueue(Place place, std::unique_ptr<Change> change) {
  const bool own = place.hint_for == NodeId();
  const ColumnFamily family = own ? ColumnFamily::kData : ColumnFamily::kHint;
  Bytes key = DataKey(place.item, options_.partitions);
  const PartitionId partition = LeafOf(key).partition;
  if (!own) key = HintKey(place.hint_for, key);
  const auto held = latches_.find(std::make_pair(family, BytesView(key)));
  if (held != latches_.end()) {
    held->second->waiting.push_back(std::move(change));
    return;
  }
  auto latch = std::make_shared<Latch>();
  latch->place = std::move(place);
  latch->family = family;
  latch->partition = partition;
  latch->key = std::move(key);
  latch->waiting.push_back(std::move(change));
  latches_.emplace(std::make_pair(family, BytesView(latch->key)), latch);
  drains_.Spawn(Drain(std::move(latch)));
}

Task<void> Replica::Drain(std::shared_ptr<Latch> latch) {
  std::optional<Hint> known;  // As it is durable, from the second round on.
  while (!latch->waiting.empty()) {
    if (!known.has_value()) {
      std::optional<absl::StatusOr<Hint>> held = HeldNow(*latch);
      if (!held.has_value()) held = co_await LoadHeld(latch);
      if (!held->ok()) {
        std::vector<std::unique_ptr<Change>> failed = std::exchange(latch->waiting, {});
        absl::Status dropped = held->status();
        const bool drops = std::any_of(failed.begin(), failed.end(),
                                       [](const auto& change) { return change->IsDrop(); });
        if (drops && absl::IsDataLoss(dropped)) dropped = co_await CommitDrop(latch);
        for (auto& change : failed) {
          if (change->IsDrop()) {
            change->durable(dropped);
          } else if (change->IsMint()) {
            change->minted(WithDetails(held->status(), {.outcome = Outcome::kNotApplied}));
          } else {
            change->durable(held->status());
          }
        }
        continue;
      }
      known = **std::move(held);
    }

    std::vector<std::unique_ptr<Change>> batch = std::exchange(latch->waiting, {});
    Traces before;
    if (!latch->IsHint()) before = Traces::Of(latch->place.item, known->stored);
    const bool changed = Apply(*latch, &*known, &batch);
    if (PlantedBugs::Has(PlantedBug::kAckBeforeSync) ||
        (latch->IsHint() && PlantedBugs::Has(PlantedBug::kHintAcknowledgedEarly))) {
      for (auto& change : batch) std::exchange(change->durable, [](absl::Status) {})({});
    }
    absl::Status committed = absl::OkStatus();
    if (changed) {
      if (latch->IsHint()) {
        committed = co_await CommitHint(latch, &*known);
      } else {
        committed = co_await CommitOwn(latch, &known->stored, before);
      }
    }
    if (!committed.ok()) {
      if (!PlantedBugs::Has(PlantedBug::kActorReusedAfterFailedCommit)) {
        minting_ = Incarnation(env_.random->Next());
      }
      known.reset();
    }
    for (auto& change : batch) change->durable(committed);
  }
  latches_.erase(std::make_pair(latch->family, BytesView(latch->key)));
}

Task<absl::Status> Replica::CommitOwn(std::shared_ptr<Latch> latch, const StoredRecord* stored,
                                      Traces before) {
  const Traces after = Traces::Of(latch->place.item, *stored);
  StorageBatch writes;
  const bool gone = *stored == StoredRecord{.epoch = stored->epoch};
  std::optional<Bytes> value;
  if (!gone) value = Encode(*stored);
  writes.reserve(2);  // The record and its leaf; the others are rare.
  writes.push_back({latch->family, latch->key, std::move(value)});
  if (before.dies_at != after.dies_at) {
    std::optional<Bytes> entry;
    if (after.dies_at.has_value()) entry = EncodeDiesAt(*after.dies_at);
    writes.push_back({ColumnFamily::kMeta, DyingKey(latch->key), std::move(entry)});
  }
  if (before.marked != after.marked) {
    std::optional<Bytes> entry;
    if (after.marked) entry.emplace();
    writes.push_back({ColumnFamily::kMeta, MarkKey(latch->key), std::move(entry)});
  }
  const HashTree::Change leaf{LeafOf(latch->key), before.digest ^ after.digest};
  while (tree_.IsHeld(leaf.leaf)) co_await Sleep(env_.loop, kHeldLeafPause);
  tree_.Begin(leaf, &writes);
  absl::Status committed = co_await Await<absl::Status>(
      [&](auto done) { env_.storage->Commit(std::move(writes), std::move(done)); });
  tree_.End(leaf, committed.ok());
  co_return committed;
}

Task<absl::Status> Replica::CommitHint(std::shared_ptr<Latch> latch, const Hint* hint) {
  std::optional<Bytes> value;
  if (*hint != Hint()) value = Encode(*hint);
  const size_t bytes = value.has_value() ? latch->key.size() + value->size() : 0;
  StorageBatch writes;
  writes.push_back({latch->family, latch->key, std::move(value)});
  absl::Status committed = co_await Await<absl::Status>(
      [&](auto done) { env_.storage->Commit(std::move(writes), std::move(done)); });
  if (committed.ok()) {
    hints_.Changed(latch->place.hint_for, std::exchange(latch->hint_bytes, bytes), bytes);
  }
  co_return committed;
}

Task<absl::Status> Replica::CommitDrop(std::shared_ptr<Latch> latch) {
  StorageBatch writes;
  writes.push_back({latch->family, latch->key, std::nullopt});
  size_t bytes = 0;
  if (latch->IsHint()) {
    using Found = absl::StatusOr<std::optional<Bytes>>;
    Bytes key = latch->key;
    Found value = co_await Await<Found>([&](auto done) {
      env_.storage->Read(ColumnFamily::kHint, std::move(key), std::move(done));
    });
    if (value.ok() && value->has_value()) bytes = latch->key.size() + (*value)->size();
  } else {
    writes.push_back({ColumnFamily::kMeta, DyingKey(latch->key), std::nullopt});
    writes.push_back({ColumnFamily::kMeta, MarkKey(latch->key), std::nullopt});
  }
  absl::Status committed = co_await Await<absl::Status>(
      [&](auto done) { env_.storage->Commit(std::move(writes), std::move(done)); });
  if (committed.ok() && bytes > 0) hints_.Changed(latch->place.hint_for, bytes, 0);
  co_return committed;
}

// A step of a round; OK where it is so once the batch is durable.
absl::Status Replica::RunStep(Change* change, StoredRecord* stored, const Latch& latch,
                              bool* changed) {
  const PartitionEpochs& epochs = epochs_->Of(latch.partition);
  const auto is_eligible = [&](uint64_t digest) {
    return LeafDigest(latch.place.item, *stored) == digest &&
           annulus::IsEligible(*stored, epochs, env_.clock->Wall(), options_.clock_skew_max);
  };
  if (const auto* mark = std::get_if<Change::Mark>(&change->what)) {
    // Rule CLOSE_BEFORE_MARK.
    const bool closed =
        epochs.current == mark->epoch &&
        (epochs.closed == mark->epoch || PlantedBugs::Has(PlantedBug::kMarkWithoutClose));
    if (!closed || !is_eligible(mark->digest)) {
      if (closed && PlantedBugs::Has(PlantedBug::kReapUnequal)) return absl::OkStatus();
      return NotEligible();
    }
    stored->marked = true;
    *changed = true;
  } else if (std::holds_alternative<Change::Unmark>(change->what)) {
    if (!stored->marked) return absl::OkStatus();
    stored->marked = false;
    stored->epoch = epochs_->ChangesIn(latch.partition);
    *changed = true;
  } else if (const auto* reap = std::get_if<Change::Reap>(&change->what)) {
    // Rule MARK_BEFORE_DELETE.
    const bool may = stored->marked || (PlantedBugs::Has(PlantedBug::kDeleteWithoutMark) &&
                                        is_eligible(LeafDigest(latch.place.item, *stored)));
    if (!may || epochs.current != reap->epoch) return NotEligible();
    // The note goes too: a name that was used for dots which nobody remembers is never used again.
    const std::optional<MintNote> note = stored->note;
    *stored = StoredRecord();
    if (PlantedBugs::Has(PlantedBug::kReapKeepsActor)) stored->note = note;
    *changed = true;
  }
  return absl::OkStatus();
}

bool Replica::Apply(const Latch& latch, Hint* held, std::vector<std::unique_ptr<Change>>* batch) {
  const bool is_hint = latch.IsHint();
  const Epoch current = epochs_->Of(latch.partition).current;
  bool changed = false;
  // An own copy was changed, or sent what it has by somebody who has not marked it. Rule
  // CHANGE_UNMARKS.
  const auto touch = [&] {
    held->stored.epoch = epochs_->ChangesIn(latch.partition);
    if (!PlantedBugs::Has(PlantedBug::kChangeKeepsMark)) held->stored.marked = false;
    changed = true;
  };
  std::vector<std::pair<Change*, MintResult>> made;
  std::vector<std::unique_ptr<Change>> kept;
  const absl::Status serves = is_hint ? absl::OkStatus() : epochs_->CheckServes(latch.partition);
  for (std::unique_ptr<Change>& change : *batch) {
    if (!serves.ok()) {
      // Its copy of the partition is about to go, since its disk is too old.
      if (change->IsMint()) {
        change->minted(serves);
      } else {
        change->durable(serves);
      }
      continue;
    }
    if (auto* mint = std::get_if<Mint>(&change->what)) {
      if (env_.loop->Now() >= change->deadline) {
        change->minted(TooLate());
        continue;
      }
      if (is_hint && held->stored.record == Record()) held->stored.epoch = current;
      MintResult result = annulus::ApplyMint(&held->stored, std::move(*mint), minting_,
                                             options_.limits, env_.random);
      if (result.verdict == MintVerdict::kTooManySiblings ||
          result.verdict == MintVerdict::kRecordTooLarge) {
        change->minted(RefusalOf(result.verdict, options_.limits));
        continue;
      }
      const bool minted = result.verdict == MintVerdict::kMinted;
      if (!is_hint && (minted || held->stored.marked)) touch();
      if (is_hint) changed |= MakeRecord(held, /*counted=*/true) || minted;
      made.emplace_back(change.get(), std::move(result));
    } else if (auto* merge = std::get_if<Change::Merge>(&change->what)) {
      if (env_.loop->Now() >= change->deadline) {
        change->durable(TooLate());
        continue;
      }
      // Here and not sooner: what is taken now reaches the disk before a close that comes later.
      if (absl::Status in_time = epochs_->CheckStamp(latch.partition, merge->stamp);
          !in_time.ok()) {
        change->durable(in_time);
        continue;
      }
      if (is_hint) {
        changed |= MergeIntoHint(&held->stored, merge->record, merge->stamp);
        changed |= MakeRecord(held, merge->counted);
      } else if (MergeOrOverwrite(&held->stored.record, merge->record) || held->stored.marked) {
        touch();
      }
      std::vector<Sibling>& siblings = held->stored.record.siblings;
      if (PlantedBugs::Has(PlantedBug::kLimitCutsMerges) &&
          siblings.size() > options_.limits.siblings_max) {
        siblings.resize(options_.limits.siblings_max);
      }
    } else if (const auto* point = std::get_if<Change::Point>(&change->what)) {
      if (held->stored.record == Record()) {
        held->pointer = point->serial;
        changed = true;
      }
    } else if (const auto* discard = std::get_if<Change::Discard>(&change->what)) {
      if (Encode(*held) == discard->encoded) {
        *held = Hint();
        changed = true;
      }
    } else if (change->IsDrop()) {
      // What memory still holds is good: written once more, it is good on the disk too.
      changed = true;
    } else if (absl::Status done = RunStep(change.get(), &held->stored, latch, &changed);
               !done.ok()) {
      change->durable(done);
      continue;
    }
    kept.push_back(std::move(change));
  }
  *batch = std::move(kept);

  // The peers are told now, while the disk works: the record as it stands after the whole batch.
  if (made.empty()) return changed;
  const auto siblings = static_cast<uint32_t>(held->stored.record.siblings.size());
  Bytes encoded = Encode(held->stored.record);
  for (auto& [change, result] : made) {
    if (PlantedBugs::Has(PlantedBug::kMintSendsOnlyNewDot)) {
      Record alone{.vector = held->stored.record.vector};
      for (const Sibling& sibling : held->stored.record.siblings) {
        if (sibling.dot == result.dot) alone.siblings.push_back(sibling);
      }
      encoded = Encode(alone);
    }
    change->minted(
        Minted{std::move(result), encoded, is_hint ? held->stored.epoch : current, siblings});
  }
  return changed;
}

std::optional<absl::StatusOr<StoredRecord>> Replica::LoadNow(const Bytes& data_key) {
  const Bytes* bytes = env_.storage->Find(ColumnFamily::kData, data_key);
  if (bytes == nullptr) return std::nullopt;
  return DecodeOwn(data_key, *bytes);
}

absl::StatusOr<StoredRecord> Replica::DecodeOwn(const Bytes& data_key, const Bytes& bytes) {
  absl::StatusOr<StoredRecord> stored = DecodeStored(bytes);
  if (!stored.ok()) NoteDamage(ColumnFamily::kData, data_key);
  return stored;
}

Task<absl::StatusOr<std::optional<StoredRecord>>> Replica::Load(Bytes data_key) {
  using Found = absl::StatusOr<std::optional<Bytes>>;
  Found bytes = co_await Await<Found>(
      [&](auto done) { env_.storage->Read(ColumnFamily::kData, data_key, std::move(done)); });
  if (!bytes.ok()) co_return bytes.status();
  if (!bytes->has_value()) co_return std::nullopt;
  absl::StatusOr<StoredRecord> stored = DecodeOwn(data_key, **bytes);
  if (!stored.ok()) co_return stored.status();
  co_return std::optional<StoredRecord>(*std::move(stored));
}

Task<absl::StatusOr<std::optional<Hint>>> Replica::LoadHint(Bytes hint_key) {
  using Found = absl::StatusOr<std::optional<Bytes>>;
  Found bytes = co_await Await<Found>(
      [&](auto done) { env_.storage->Read(ColumnFamily::kHint, hint_key, std::move(done)); });
  if (!bytes.ok()) co_return bytes.status();
  if (!bytes->has_value()) co_return std::nullopt;
  absl::StatusOr<Hint> hint = DecodeHint(**bytes);
  if (!hint.ok()) {
    NoteDamage(ColumnFamily::kHint, hint_key);
    co_return hint.status();
  }
  co_return std::optional<Hint>(*std::move(hint));
}

std::optional<absl::StatusOr<Hint>> Replica::HeldNow(const Latch& latch) {
  if (latch.IsHint()) return std::nullopt;
  std::optional<absl::StatusOr<StoredRecord>> own = LoadNow(latch.key);
  if (!own.has_value()) return std::nullopt;
  if (!own->ok()) return own->status();
  return Hint{.stored = **std::move(own)};
}

Task<absl::StatusOr<Hint>> Replica::LoadHeld(std::shared_ptr<Latch> latch) {
  Bytes key = latch->key;
  if (!latch->IsHint()) {
    absl::StatusOr<std::optional<StoredRecord>> own = co_await Load(std::move(key));
    if (!own.ok()) co_return own.status();
    co_return Hint{.stored = std::move(*own).value_or(StoredRecord())};
  }
  absl::StatusOr<std::optional<Hint>> hint = co_await LoadHint(std::move(key));
  if (!hint.ok()) co_return hint.status();
  latch->hint_bytes = hint->has_value() ? latch->key.size() + Encode(**hint).size() : 0;
  co_return std::move(*hint).value_or(Hint());
}

}  // namespace annulus
