#include "node/replica.h"

#include <utility>

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

}  // namespace

// One change and who waits for it. Exactly one of mint and merge is set.
struct Replica::Change {
  std::optional<Mint> mint;
  std::optional<Record> merge;
  Instant deadline = kForever;
  absl::AnyInvocable<void(absl::StatusOr<Minted>)> minted;
  DurableDone durable;
};

struct Replica::Latch {
  Item item;
  Bytes data_key;
  std::vector<std::unique_ptr<Change>> waiting;
};

Replica::Replica(Env env, Incarnation incarnation, Options options)
    : env_(env), options_(options), tree_(env, options.partitions), minting_(incarnation) {}

Task<absl::StatusOr<Replica::Minted>> Replica::ApplyMint(Item item, Mint mint, Instant deadline,
                                                         DurableDone durable) {
  auto change = std::make_unique<Change>();
  change->mint = std::move(mint);
  change->deadline = deadline;
  change->durable = std::move(durable);
  Mailbox<absl::StatusOr<Minted>> box(env_.loop);
  change->minted = [to = box.sender()](absl::StatusOr<Minted> minted) {
    to.Deliver(std::move(minted));
  };
  Enqueue(std::move(item), std::move(change));
  std::optional<absl::StatusOr<Minted>> minted = co_await box.Next(deadline);
  if (minted.has_value()) co_return *std::move(minted);
  co_return TooLate();  // And Apply drops it, since its deadline has passed.
}

Task<absl::Status> Replica::ApplyMerge(Item item, Bytes encoded) {
  absl::StatusOr<Record> record = DecodeRecord(encoded);
  if (!record.ok()) co_return record.status();
  auto change = std::make_unique<Change>();
  change->merge = *std::move(record);
  absl::Status status = co_await Await<absl::Status>([&](auto done) {
    change->durable = std::move(done);
    Enqueue(std::move(item), std::move(change));
  });
  co_return status;
}

Task<absl::StatusOr<std::optional<StoredRecord>>> Replica::Read(Item item) {
  auto loaded = co_await Load(DataKey(item, options_.partitions));
  co_return loaded;
}

void Replica::Enqueue(Item item, std::unique_ptr<Change> change) {
  Bytes data_key = DataKey(item, options_.partitions);
  auto [slot, is_new] = latches_.try_emplace(data_key);
  if (is_new) {
    slot->second = std::make_shared<Latch>();
    slot->second->item = std::move(item);
    slot->second->data_key = std::move(data_key);
  }
  std::shared_ptr<Latch> latch = slot->second;
  latch->waiting.push_back(std::move(change));
  if (is_new) drains_.Spawn(Drain(std::move(latch)));
}

Task<void> Replica::Drain(std::shared_ptr<Latch> latch) {
  std::optional<StoredRecord> known;  // As it is durable, from the second round on.
  while (!latch->waiting.empty()) {
    if (!known.has_value()) {
      absl::StatusOr<std::optional<StoredRecord>> loaded = co_await Load(latch->data_key);
      if (!loaded.ok()) {
        std::vector<std::unique_ptr<Change>> failed = std::exchange(latch->waiting, {});
        for (auto& change : failed) {
          if (change->mint.has_value()) {
            change->minted(WithDetails(loaded.status(), {.outcome = Outcome::kNotApplied}));
          } else {
            change->durable(loaded.status());
          }
        }
        continue;
      }
      known = loaded->has_value() ? **std::move(loaded) : StoredRecord{};
    }

    std::vector<std::unique_ptr<Change>> batch = std::exchange(latch->waiting, {});
    HashTree::Change leaf{LeafOf(latch->data_key), LeafDigest(latch->item, *known)};
    const bool changed = Apply(&*known, &batch);
    if (PlantedBugs::Has(PlantedBug::kAckBeforeSync)) {
      for (auto& change : batch) std::exchange(change->durable, [](absl::Status) {})({});
    }
    absl::Status committed = absl::OkStatus();
    if (changed) {
      StorageBatch writes;
      writes.push_back({ColumnFamily::kData, latch->data_key, Encode(*known)});
      leaf.delta ^= LeafDigest(latch->item, *known);
      tree_.Begin(leaf, &writes);
      committed = co_await Await<absl::Status>(
          [&](auto done) { env_.storage->Commit(std::move(writes), std::move(done)); });
      tree_.End(leaf, committed.ok());
    }
    if (!committed.ok()) {
      if (!PlantedBugs::Has(PlantedBug::kActorReusedAfterFailedCommit)) {
        minting_ = Incarnation(env_.random->Next());
      }
      known.reset();
    }
    for (auto& change : batch) change->durable(committed);
  }
  latches_.erase(latch->data_key);
}

bool Replica::Apply(StoredRecord* stored, std::vector<std::unique_ptr<Change>>* batch) {
  bool changed = false;
  std::vector<std::pair<Change*, MintResult>> made;
  std::vector<std::unique_ptr<Change>> kept;
  for (std::unique_ptr<Change>& change : *batch) {
    if (change->merge.has_value()) {
      if (PlantedBugs::Has(PlantedBug::kReplicaOverwrites)) {
        changed |= !SameVersions(stored->record, *change->merge);
        stored->record = *std::move(change->merge);
      } else {
        changed |= Merge(&stored->record, *change->merge);
      }
      kept.push_back(std::move(change));
      continue;
    }
    if (env_.loop->Now() >= change->deadline) {
      change->minted(TooLate());
      continue;
    }
    MintResult result = annulus::ApplyMint(stored, *std::move(change->mint), minting_,
                                           options_.limits, env_.random);
    if (result.verdict == MintVerdict::kTooManySiblings ||
        result.verdict == MintVerdict::kRecordTooLarge) {
      change->minted(RefusalOf(result.verdict, options_.limits));
      continue;
    }
    changed |= result.verdict == MintVerdict::kMinted;
    made.emplace_back(change.get(), std::move(result));
    kept.push_back(std::move(change));
  }
  *batch = std::move(kept);
  if (changed) stored->epoch = kFirstEpoch;

  // The peers are told now, while the disk works: the record as it stands after the whole batch.
  if (made.empty()) return changed;
  const auto siblings = static_cast<uint32_t>(stored->record.siblings.size());
  Bytes encoded = Encode(stored->record);
  for (auto& [change, result] : made) {
    if (PlantedBugs::Has(PlantedBug::kMintSendsOnlyNewDot)) {
      Record alone{.vector = stored->record.vector};
      for (const Sibling& sibling : stored->record.siblings) {
        if (sibling.dot == result.dot) alone.siblings.push_back(sibling);
      }
      encoded = Encode(alone);
    }
    change->minted(Minted{std::move(result), encoded, stored->epoch, siblings});
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

}  // namespace annulus
