#include "node/replica.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/planted.h"
#include "core/error.h"
#include "core/ring/ring.h"
#include "task/await.h"
#include "task/mailbox.h"

namespace annulus {
namespace {

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

// A stamp never rises: what is merged into a hint has the lower one from then on. Of an own copy,
// the stamp is the partition's epoch at its last change.
bool MergeInto(StoredRecord* stored, const Record& record, Epoch stamp, bool is_hint) {
  const bool was_empty = stored->record == Record();
  bool changed;
  if (PlantedBugs::Has(PlantedBug::kReplicaOverwrites)) {
    changed = !SameVersions(stored->record, record);
    stored->record = record;
  } else {
    changed = Merge(&stored->record, record);
  }
  if (is_hint && (was_empty || stamp < stored->epoch)) {
    changed |= stored->epoch != stamp;
    stored->epoch = stamp;
  }
  return changed;
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
  std::variant<Mint, Merge, Point, Discard> what;
  Instant deadline = kForever;                              // Of a mint.
  absl::AnyInvocable<void(absl::StatusOr<Minted>)> minted;  // The same.
  DurableDone durable;

  bool IsMint() const { return std::holds_alternative<Mint>(what); }
};

// An own copy is held in memory as the record of a hint for nobody: what differs is how it is
// stored.
struct Replica::Latch {
  Place place;
  ColumnFamily family;
  Bytes key;
  size_t hint_bytes = 0;  // Of the hint as it is stored, key included; 0 where there is none.
  std::vector<std::unique_ptr<Change>> waiting;

  bool IsHint() const { return place.hint_for != NodeId(); }
};

Replica::Replica(Env env, Incarnation incarnation, Options options)
    : env_(env),
      options_(options),
      tree_(env, options.partitions),
      minting_(incarnation),
      hints_(options.hint_limits) {}

Task<absl::StatusOr<Replica::Minted>> Replica::ApplyMint(Place place, Mint mint, Instant deadline,
                                                         DurableDone durable) {
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
  Enqueue(place, std::move(change));
  std::optional<absl::StatusOr<Minted>> minted = co_await box.Next(deadline);
  if (minted.has_value()) co_return *std::move(minted);
  co_return TooLate();  // And Apply drops it, since its deadline has passed.
}

Task<absl::Status> Replica::ApplyMerge(Place place, Merging merging) {
  if (absl::Status admitted = AdmitHint(place, merging.record.size()); !admitted.ok()) {
    co_return admitted;
  }
  absl::StatusOr<Record> record = DecodeRecord(merging.record);
  if (!record.ok()) co_return record.status();
  auto change = std::make_unique<Change>();
  change->what = Change::Merge{*std::move(record), merging.stamp, merging.counted};
  absl::Status status = co_await Await<absl::Status>([&](auto done) {
    change->durable = std::move(done);
    Enqueue(place, std::move(change));
  });
  co_return status;
}

Task<absl::Status> Replica::Point(Place place) {
  if (absl::Status admitted = AdmitHint(place, 0); !admitted.ok()) co_return admitted;
  auto change = std::make_unique<Change>();
  change->what = Change::Point{env_.random->Next() | 1};
  absl::Status status = co_await Await<absl::Status>([&](auto done) {
    change->durable = std::move(done);
    Enqueue(place, std::move(change));
  });
  co_return status;
}

Task<absl::Status> Replica::Discard(Place place, Bytes encoded) {
  auto change = std::make_unique<Change>();
  change->what = Change::Discard{std::move(encoded)};
  absl::Status status = co_await Await<absl::Status>([&](auto done) {
    change->durable = std::move(done);
    Enqueue(place, std::move(change));
  });
  co_return status;
}

Task<absl::StatusOr<std::optional<StoredRecord>>> Replica::Read(Item item) {
  auto loaded = co_await Load(DataKey(item, options_.partitions));
  co_return loaded;
}

Task<absl::StatusOr<std::optional<StoredRecord>>> Replica::ReadHints(Item item,
                                                                     std::vector<NodeId> targets) {
  const Bytes data_key = DataKey(item, options_.partitions);
  std::optional<StoredRecord> merged;
  for (NodeId target : targets) {
    if (hints_counted_ && hints_.AccountOf(target).entries == 0) continue;
    Bytes key = HintKey(target, data_key);
    absl::StatusOr<std::optional<Hint>> hint = co_await LoadHint(std::move(key));
    if (!hint.ok()) co_return hint.status();
    if (!hint->has_value() || (*hint)->pointer != 0) continue;
    const StoredRecord& stored = (*hint)->stored;
    if (!merged.has_value()) merged = StoredRecord{.epoch = stored.epoch};
    Merge(&merged->record, stored.record);
    merged->epoch = std::min(merged->epoch, stored.epoch);
  }
  co_return merged;
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

void Replica::Enqueue(const Place& place, std::unique_ptr<Change> change) {
  const bool own = place.hint_for == NodeId();
  const ColumnFamily family = own ? ColumnFamily::kData : ColumnFamily::kHint;
  Bytes key = DataKey(place.item, options_.partitions);
  if (!own) key = HintKey(place.hint_for, key);
  auto [slot, is_new] = latches_.try_emplace(std::make_pair(family, key));
  if (is_new) {
    slot->second = std::make_shared<Latch>();
    slot->second->place = place;
    slot->second->family = family;
    slot->second->key = std::move(key);
  }
  std::shared_ptr<Latch> latch = slot->second;
  latch->waiting.push_back(std::move(change));
  if (is_new) drains_.Spawn(Drain(std::move(latch)));
}

Task<void> Replica::Drain(std::shared_ptr<Latch> latch) {
  std::optional<Hint> known;  // As it is durable, from the second round on.
  while (!latch->waiting.empty()) {
    if (!known.has_value()) {
      absl::StatusOr<Hint> held = co_await LoadHeld(latch);
      if (!held.ok()) {
        std::vector<std::unique_ptr<Change>> failed = std::exchange(latch->waiting, {});
        for (auto& change : failed) {
          if (change->IsMint()) {
            change->minted(WithDetails(held.status(), {.outcome = Outcome::kNotApplied}));
          } else {
            change->durable(held.status());
          }
        }
        continue;
      }
      known = *std::move(held);
    }

    std::vector<std::unique_ptr<Change>> batch = std::exchange(latch->waiting, {});
    const uint64_t digest_before =
        latch->IsHint() ? 0 : LeafDigest(latch->place.item, known->stored);
    const bool changed = Apply(latch->IsHint(), &*known, &batch);
    if (PlantedBugs::Has(PlantedBug::kAckBeforeSync) ||
        (latch->IsHint() && PlantedBugs::Has(PlantedBug::kHintAcknowledgedEarly))) {
      for (auto& change : batch) std::exchange(change->durable, [](absl::Status) {})({});
    }
    absl::Status committed = absl::OkStatus();
    if (changed) {
      if (latch->IsHint()) {
        committed = co_await CommitHint(latch, &*known);
      } else {
        committed = co_await CommitOwn(latch, &known->stored, digest_before);
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
  latches_.erase(std::make_pair(latch->family, latch->key));
}

Task<absl::Status> Replica::CommitOwn(std::shared_ptr<Latch> latch, const StoredRecord* stored,
                                      uint64_t digest_before) {
  StorageBatch writes;
  writes.push_back({latch->family, latch->key, Encode(*stored)});
  const HashTree::Change leaf{LeafOf(latch->key),
                              digest_before ^ LeafDigest(latch->place.item, *stored)};
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

bool Replica::Apply(bool is_hint, Hint* held, std::vector<std::unique_ptr<Change>>* batch) {
  bool changed = false;
  std::vector<std::pair<Change*, MintResult>> made;
  std::vector<std::unique_ptr<Change>> kept;
  for (std::unique_ptr<Change>& change : *batch) {
    if (auto* mint = std::get_if<Mint>(&change->what)) {
      if (env_.loop->Now() >= change->deadline) {
        change->minted(TooLate());
        continue;
      }
      MintResult result = annulus::ApplyMint(&held->stored, std::move(*mint), minting_,
                                             options_.limits, env_.random);
      if (result.verdict == MintVerdict::kTooManySiblings ||
          result.verdict == MintVerdict::kRecordTooLarge) {
        change->minted(RefusalOf(result.verdict, options_.limits));
        continue;
      }
      changed |= result.verdict == MintVerdict::kMinted;
      if (is_hint) changed |= MakeRecord(held, /*counted=*/true);
      made.emplace_back(change.get(), std::move(result));
    } else if (auto* merge = std::get_if<Change::Merge>(&change->what)) {
      changed |= MergeInto(&held->stored, merge->record, merge->stamp, is_hint);
      std::vector<Sibling>& siblings = held->stored.record.siblings;
      if (PlantedBugs::Has(PlantedBug::kLimitCutsMerges) &&
          siblings.size() > options_.limits.siblings_max) {
        siblings.resize(options_.limits.siblings_max);
      }
      if (is_hint) changed |= MakeRecord(held, merge->counted);
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
    }
    kept.push_back(std::move(change));
  }
  *batch = std::move(kept);
  if (changed && !is_hint) held->stored.epoch = kFirstEpoch;

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
    change->minted(Minted{std::move(result), encoded, held->stored.epoch, siblings});
  }
  return changed;
}

Task<absl::StatusOr<std::optional<StoredRecord>>> Replica::Load(Bytes data_key) {
  using Found = absl::StatusOr<std::optional<Bytes>>;
  Found bytes = co_await Await<Found>([&](auto done) {
    env_.storage->Read(ColumnFamily::kData, std::move(data_key), std::move(done));
  });
  if (!bytes.ok()) co_return bytes.status();
  if (!bytes->has_value()) co_return std::nullopt;
  absl::StatusOr<StoredRecord> stored = DecodeStored(**bytes);
  if (!stored.ok()) co_return stored.status();
  co_return std::optional<StoredRecord>(*std::move(stored));
}

Task<absl::StatusOr<std::optional<Hint>>> Replica::LoadHint(Bytes hint_key) {
  using Found = absl::StatusOr<std::optional<Bytes>>;
  Found bytes = co_await Await<Found>([&](auto done) {
    env_.storage->Read(ColumnFamily::kHint, std::move(hint_key), std::move(done));
  });
  if (!bytes.ok()) co_return bytes.status();
  if (!bytes->has_value()) co_return std::nullopt;
  absl::StatusOr<Hint> hint = DecodeHint(**bytes);
  if (!hint.ok()) co_return hint.status();
  co_return std::optional<Hint>(*std::move(hint));
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
