#include "sim/sim_disk.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/checksum.h"
#include "core/error.h"

namespace annulus::sim {

namespace {

constexpr Duration kSyncMin = 200us;
constexpr Duration kSyncSpread = 1800us;
constexpr double kSyncSlowChance = 0.02;
constexpr Duration kSyncSlow = 20ms;
constexpr Duration kFlushEvery = 1s;
constexpr double kReadCached = 0.7;
constexpr Duration kReadMax = 300us;
constexpr double kForgetAllChance = 0.5;

Duration UpTo(Random* random, Duration limit) {
  return Duration(static_cast<int64_t>(random->Below(static_cast<uint64_t>(limit.count()) + 1)));
}

uint64_t HashOf(const StorageBatch& batch) {
  uint64_t h = batch.size();
  for (const StorageWrite& write : batch) {
    h = (h ^ Hash64(write.key)) * 0x9fb21c651e98df25u;
    if (write.value.has_value()) h = (h ^ Hash64(*write.value)) * 0x9fb21c651e98df25u;
    h ^= h >> 31;
  }
  return h;
}

// As StorageWrite::mixes says.
void Mix(Bytes* into, BytesView bytes) {
  constexpr size_t kSize = sizeof(uint64_t);
  into->resize(kSize, '\0');
  ANNULUS_CHECK(bytes.size() == kSize);
  for (size_t i = 0; i < kSize; ++i) (*into)[i] = static_cast<char>((*into)[i] ^ bytes[i]);
}

bool Writes(const StorageBatch& batch, ColumnFamily family) {
  for (const StorageWrite& write : batch) {
    if (write.family == family && write.value.has_value()) return true;
  }
  return false;
}

}  // namespace

SimDisk::SimDisk(World* world, uint16_t process, bool sync)
    : world_(world), process_(process), sync_(sync), random_(world->random().Fork()) {}

std::unique_ptr<SimStorage> SimDisk::Open(SimLoop* loop) {
  ANNULUS_CHECK(open_ == nullptr);
  std::unique_ptr<SimStorage> storage(new SimStorage(this, loop));
  open_ = storage.get();
  return storage;
}

size_t SimDisk::unsynced() const {
  size_t batches = unflushed_.size();
  if (open_ != nullptr) batches += open_->queued_.size() + open_->in_sync_.size();
  return batches;
}

size_t SimDisk::in_sync() const { return open_ == nullptr ? 0 : open_->in_sync_.size(); }

std::optional<SimDisk::Place> SimDisk::PickPlace(Random* random) const {
  // What has more entries is hit more often; identity and layout are small.
  static constexpr ColumnFamily kDamaged[] = {ColumnFamily::kData, ColumnFamily::kHint};
  size_t entries = 0;
  for (const ColumnFamily family : kDamaged) entries += map(family).size();
  if (entries == 0) return std::nullopt;
  size_t index = random->Below(entries);
  for (const ColumnFamily family : kDamaged) {
    if (index < map(family).size()) {
      return Place{family,
                   std::next(map(family).begin(), static_cast<std::ptrdiff_t>(index))->first};
    }
    index -= map(family).size();
  }
  return std::nullopt;
}

void SimDisk::Damage(const Place& place, Random* random) {
  ++stats_.values_damaged;
  if (watcher_ != nullptr) watcher_->OnLoss(process_);
  const auto entry = map(place.family).find(place.key);
  ANNULUS_CHECK(entry != map(place.family).end());
  const uint64_t bit = random->Below(entry->second.size() * 8);
  entry->second[bit / 8] = static_cast<char>(entry->second[bit / 8] ^ (1 << (bit % 8)));
}

std::shared_ptr<const SimDisk::Image> SimDisk::Snapshot() const {
  // What was acknowledged without a sync may be missing from a copy; with syncs nothing is.
  return std::make_shared<Image>(Image{maps_, sequence_});
}

void SimDisk::Restore(const Image& image) {
  ANNULUS_CHECK(open_ == nullptr);
  if (watcher_ != nullptr) watcher_->OnLoss(process_);
  maps_ = image.maps;
  sequence_ = image.sequence;
}

void SimDisk::Wipe() { Restore(Image{}); }

std::optional<Bytes> SimDisk::Peek(ColumnFamily family, BytesView key) const {
  const auto found = map(family).find(key);
  if (found == map(family).end()) return std::nullopt;
  return found->second;
}

void SimDisk::Apply(const StorageBatch& batch, std::vector<Undo>* undo) {
  if (watcher_ != nullptr && undo == nullptr) watcher_->OnApply(process_, batch);
  for (const StorageWrite& write : batch) {
    Map& map = this->map(write.family);
    if (write.end.has_value()) {
      RemoveRange(write, undo);
      continue;
    }
    if (undo != nullptr) {
      const auto old = map.find(write.key);
      undo->push_back({write.family, write.key,
                       old == map.end() ? std::nullopt : std::optional<Bytes>(old->second)});
    }
    if (write.mixes) {
      Mix(&map[write.key], *write.value);
    } else if (write.value.has_value()) {
      map[write.key] = *write.value;
    } else {
      map.erase(write.key);
    }
  }
}

void SimDisk::RemoveRange(const StorageWrite& write, std::vector<Undo>* undo) {
  Map& map = this->map(write.family);
  const auto first = map.lower_bound(write.key);
  const auto last = map.lower_bound(*write.end);
  for (auto entry = first; entry != last; ++entry) {
    if (undo != nullptr) undo->push_back({write.family, entry->first, entry->second});
  }
  map.erase(first, last);
}

SimStorage::~SimStorage() {
  Random& random = disk_->random_;
  size_t lost = 0;
  if (!disk_->unflushed_.empty()) {
    // With sync off, a prefix of what was acknowledged had reached the disk by itself.
    const size_t unflushed = disk_->unflushed_.size();
    const size_t kept =
        random.Chance(kForgetAllChance) ? 0 : static_cast<size_t>(random.Below(unflushed));
    for (; disk_->unflushed_.size() > kept; ++lost) {
      std::vector<SimDisk::Undo>& undo = disk_->unflushed_.back();
      for (auto step = undo.rbegin(); step != undo.rend(); ++step) {
        if (step->old_value.has_value()) {
          disk_->map(step->family)[step->key] = *std::move(step->old_value);
        } else {
          disk_->map(step->family).erase(step->key);
        }
      }
      disk_->unflushed_.pop_back();
    }
    disk_->sequence_ += kept;
    disk_->unflushed_.clear();
  } else {
    std::vector<const Pending*> unsynced;
    for (const Pending& pending : in_sync_) unsynced.push_back(&pending);
    for (const Pending& pending : queued_) unsynced.push_back(&pending);
    if (!unsynced.empty()) {
      const bool tear = std::exchange(disk_->tear_next_, false) && unsynced.size() > 1;
      const size_t kept = tear ? 1 + static_cast<size_t>(random.Below(unsynced.size() - 1))
                          : random.Chance(kForgetAllChance)
                              ? 0
                              : static_cast<size_t>(random.Below(unsynced.size() + 1));
      disk_->stats_.groups_torn += kept > 0 && kept < in_sync_.size();
      for (size_t i = 0; i < kept; ++i) {
        if (unsynced[i]->fails) continue;
        disk_->Apply(unsynced[i]->batch, nullptr);
        ++disk_->sequence_;
      }
      lost = unsynced.size() - kept;
    }
  }
  if (lost > 0) {
    disk_->stats_.lost_batches += lost;
    ++disk_->stats_.crashes_that_lost;
    disk_->world_->Trace(TraceKind::kDiskLost, disk_->process_, lost);
    disk_->world_->Tell(
        absl::StrFormat("  the disk of process %d forgets %d batches that were "
                        "not synced",
                        disk_->process_, lost));
  }
  disk_->open_ = nullptr;
}

std::optional<Duration> SimStorage::ReadWait() {
  if (disk_->random_.Chance(kReadCached)) return std::nullopt;
  return UpTo(&disk_->random_, kReadMax) + disk_->conditions_.slow_by / 8;
}

void SimStorage::Read(ColumnFamily family, Bytes key, ReadDone done) {
  const std::optional<Duration> wait = ReadWait();
  if (!wait.has_value()) {
    done(Value(family, key));
    return;
  }
  disk_->world_->After(loop_, *wait,
                       [this, family, key = std::move(key), done = std::move(done)]() mutable {
                         done(Value(family, key));
                       });
}

void SimStorage::ReadRange(ColumnFamily family, Bytes begin, Bytes end, size_t entries_max,
                           size_t bytes_max, PageDone done) {
  const std::optional<Duration> wait = ReadWait();
  if (!wait.has_value()) {
    done(Page(family, begin, end, entries_max, bytes_max));
    return;
  }
  disk_->world_->After(loop_, *wait,
                       [this, family, begin = std::move(begin), end = std::move(end), entries_max,
                        bytes_max, done = std::move(done)]() mutable {
                         done(Page(family, begin, end, entries_max, bytes_max));
                       });
}

absl::StatusOr<std::optional<Bytes>> SimStorage::Value(ColumnFamily family, const Bytes& key) {
  return disk_->Peek(family, key);
}

absl::StatusOr<StoragePage> SimStorage::Page(ColumnFamily family, const Bytes& begin,
                                             const Bytes& end, size_t entries_max,
                                             size_t bytes_max) {
  StoragePage page;
  const SimDisk::Map& map = disk_->map(family);
  size_t bytes = 0;
  for (auto entry = map.lower_bound(begin); entry != map.end() && entry->first < end; ++entry) {
    if (!page.entries.empty() && (page.entries.size() >= entries_max || bytes >= bytes_max)) {
      page.more = true;
      break;
    }
    page.entries.emplace_back(entry->first, entry->second);
    bytes += entry->first.size() + entry->second.size();
  }
  return page;
}

void SimStorage::Commit(StorageBatch batch, CommitDone done) {
  ++disk_->stats_.commits;
  Pending pending{std::move(batch), std::move(done)};
  pending.fails = disk_->conditions_.commit_failure > 0 &&
                  disk_->random_.Chance(disk_->conditions_.commit_failure);
  if (disk_->conditions_.full && !OnlyRemoves(pending.batch)) pending.fails = true;
  if (disk_->told_ && Writes(pending.batch, disk_->told_of_)) std::exchange(disk_->told_, {})();
  queued_.push_back(std::move(pending));
  if (syncing_ || start_asked_) return;
  // The end of the turn, as the real store does: what the turn commits goes together.
  start_asked_ = true;
  loop_->AtTurnEnd([this] {
    start_asked_ = false;
    StartSync();
  });
}

void SimStorage::StartSync() {
  if (syncing_ || queued_.empty()) return;
  syncing_ = true;
  in_sync_ = std::move(queued_);
  queued_.clear();
  Random& random = disk_->random_;
  Duration wait = kSyncMin + UpTo(&random, kSyncSpread) + disk_->conditions_.slow_by;
  if (random.Chance(kSyncSlowChance)) wait += UpTo(&random, kSyncSlow);
  if (!disk_->sync_) wait = UpTo(&random, kSyncMin);  // To memory.
  disk_->world_->After(loop_, wait, [this] { FinishSync(); });
}

void SimStorage::FinishSync() {
  ++disk_->stats_.syncs;
  std::vector<Pending> synced = std::move(in_sync_);
  in_sync_.clear();
  uint64_t hash = 0;
  for (const Pending& pending : synced) {
    hash = hash * 31 + HashOf(pending.batch) + pending.fails;
    if (pending.fails) {
      ++disk_->stats_.failed_commits;
    } else if (disk_->sync_) {
      disk_->Apply(pending.batch, nullptr);
      ++disk_->sequence_;
    } else {
      disk_->unflushed_.emplace_back();
      disk_->Apply(pending.batch, &disk_->unflushed_.back());
    }
  }
  disk_->world_->Trace(TraceKind::kDisk, disk_->process_, synced.size(), hash);
  syncing_ = false;
  // The next group begins before anyone hears of this one, so that what they commit now waits for
  // it as it would on a real disk.
  StartSync();
  if (!disk_->sync_ && !flush_asked_) {
    flush_asked_ = true;
    disk_->world_->After(loop_, kFlushEvery, [this] { Flush(); });
  }
  for (Pending& pending : synced) {
    pending.done(pending.fails ? WithDetails(absl::ResourceExhaustedError("the disk is full"),
                                             {.reason = kReasonDiskFull})
                               : absl::OkStatus());
  }
}

void SimStorage::Flush() {
  flush_asked_ = false;
  disk_->sequence_ += disk_->unflushed_.size();
  disk_->unflushed_.clear();
}

}  // namespace annulus::sim
