#include "node/epochs.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/planted.h"
#include "core/error.h"
#include "task/await.h"

namespace annulus {
namespace {

constexpr char kPrefix[] = "epoch/";
constexpr char kPrefixEnd[] = "epoch0";  // '0' follows '/'.

}  // namespace

Bytes EpochsKey(PartitionId partition) {
  Bytes key = kPrefix;
  PutBigEndian16(&key, static_cast<uint16_t>(partition.value()));
  return key;
}

Epochs::Epochs(Env env, uint32_t partitions) : env_(env), slots_(partitions) {}

Task<absl::Status> Epochs::Load() {
  Bytes begin = kPrefix;
  while (true) {
    using Page = absl::StatusOr<StoragePage>;
    constexpr size_t kPageBytes = 1 << 20;
    Page page = co_await Await<Page>([&](auto done) {
      env_.storage->ReadRange(ColumnFamily::kMeta, begin, kPrefixEnd, slots_.size(), kPageBytes,
                              std::move(done));
    });
    if (!page.ok()) co_return page.status();
    for (const auto& [key, value] : page->entries) {
      uint16_t partition = 0;
      ByteReader reader(BytesView(key).substr(sizeof(kPrefix) - 1));
      absl::StatusOr<PartitionEpochs> epochs = DecodeEpochs(value);
      if (!epochs.ok()) co_return epochs.status();
      if (!reader.BigEndian16(&partition) || partition >= slots_.size()) {
        co_return absl::DataLossError("a partition's epochs lie under a key that is none");
      }
      slots_[partition].now = slots_[partition].written = *epochs;
    }
    if (!page->more) co_return absl::OkStatus();
    begin = page->entries.back().first + '\0';
  }
}

// Rule TOLD_BEFORE_SERVING.
absl::Status Epochs::CheckServes(PartitionId partition) const {
  if (Serves(partition) || PlantedBugs::Has(PlantedBug::kServesUntold)) return absl::OkStatus();
  return WithDetails(absl::UnavailableError(absl::StrCat(
                         "this node has started and was not told the epochs of partition ",
                         partition.value(), " yet, by another of its owners")),
                     {.reason = kReasonNotTold, .outcome = Outcome::kNotApplied});
}

absl::Status Epochs::CheckStamp(PartitionId partition, Epoch stamp) const {
  if (Of(partition).Accepts(stamp)) return absl::OkStatus();
  return WithDetails(
      absl::FailedPreconditionError(
          absl::StrCat("what was sent was read in epoch ", stamp.value(), "; partition ",
                       partition.value(), " has closed all below ", Of(partition).closed.value())),
      {.reason = kReasonStaleStamp, .outcome = Outcome::kNotApplied});
}

Task<absl::Status> Epochs::Reserve(PartitionId partition, Epoch epoch) {
  Slot& slot = slots_[partition.value()];
  slot.written.reserved = std::max(slot.written.reserved, epoch);
  // At once: a round whose reservation fails is not repeated under the same epoch either.
  slot.now.reserved = slot.written.reserved;
  StorageBatch alone;
  absl::Status written = co_await Write(partition, std::move(alone));
  co_return written;
}

// Rule OWNERS_STILL_ACCEPT: what is closed stays as it is.
Task<absl::Status> Epochs::Raise(PartitionId partition, Epoch epoch) {
  Slot& slot = slots_[partition.value()];
  if (slot.now.current >= epoch) co_return absl::OkStatus();
  slot.written.current = std::max(slot.written.current, epoch);
  StorageBatch alone;
  absl::Status written = co_await Write(partition, std::move(alone));
  if (written.ok()) slot.now.current = std::max(slot.now.current, epoch);
  co_return written;
}

Task<absl::Status> Epochs::Close(PartitionId partition, Epoch epoch) {
  Slot& slot = slots_[partition.value()];
  slot.now.closed = std::max(slot.now.closed, epoch);
  slot.written.closed = std::max(slot.written.closed, epoch);
  StorageBatch alone;
  absl::Status written = co_await Write(partition, std::move(alone));
  co_return written;
}

// Rule NOTE_REFUSES.
Task<absl::Status> Epochs::Note(PartitionId partition, Epoch epoch) {
  Slot& slot = slots_[partition.value()];
  slot.written.current = std::max(slot.written.current, epoch);
  slot.now.current = slot.written.current;
  if (!PlantedBugs::Has(PlantedBug::kNoteAccepts)) {
    slot.written.closed = std::max(slot.written.closed, epoch);
    slot.now.closed = slot.written.closed;
  }
  StorageBatch alone;
  absl::Status written = co_await Write(partition, std::move(alone));
  co_return written;
}

Task<absl::Status> Epochs::SetRebuilding(PartitionId partition, bool rebuilding) {
  Slot& slot = slots_[partition.value()];
  slot.written.rebuilding = rebuilding;
  slot.now.rebuilding |= rebuilding;
  StorageBatch alone;
  absl::Status written = co_await Write(partition, std::move(alone));
  // Unless it began anew meanwhile.
  if (written.ok()) slot.now.rebuilding = slot.written.rebuilding;
  co_return written;
}

Task<absl::Status> Epochs::Learn(PartitionId partition, PartitionEpochs epochs,
                                 StorageBatch batch) {
  Slot& slot = slots_[partition.value()];
  // What was noted since the lesson was made stays: it may have been answered for.
  epochs = Highest(epochs, slot.written);
  if (slot.written == epochs && slot.now == epochs && batch.empty()) co_return absl::OkStatus();
  batch.push_back({ColumnFamily::kMeta, EpochsKey(partition), Encode(epochs)});
  const uint64_t writes = slot.writes;
  absl::Status learnt = co_await Commit(std::move(batch));
  // Nothing was learnt: what is written from here on must not say so, as the rest of the batch was
  // not carried out either.
  if (!learnt.ok()) co_return learnt;
  slot.written = Highest(slot.written, epochs);
  slot.now = Highest(slot.now, epochs);
  if (slot.writes == writes) co_return absl::OkStatus();
  // Something was noted meanwhile, and lies on the disk above what was learnt.
  StorageBatch alone;
  absl::Status again = co_await Write(partition, std::move(alone));
  co_return again;
}

Task<absl::Status> Epochs::Write(PartitionId partition, StorageBatch batch) {
  Slot& slot = slots_[partition.value()];
  ++slot.writes;
  batch.push_back({ColumnFamily::kMeta, EpochsKey(partition), Encode(slot.written)});
  absl::Status written = co_await Commit(std::move(batch));
  co_return written;
}

Task<absl::Status> Epochs::Commit(StorageBatch batch) {
  absl::Status status = co_await Await<absl::Status>(
      [&](auto done) { env_.storage->Commit(std::move(batch), std::move(done)); });
  co_return status;
}

}  // namespace annulus
