#include "node/record_cache.h"

#include <utility>

#include "absl/hash/hash.h"

namespace annulus {
namespace {

// What an entry costs beside its bytes: the list's node, two strings, a slot of the map, malloc.
constexpr size_t kEntryBytes = 192;
// One that takes more than this share would drive out too many others.
constexpr size_t kShareMax = 64;

size_t CostOf(BytesView key, BytesView value) { return key.size() + value.size() + kEntryBytes; }

}  // namespace

RecordCache::RecordCache(Storage* store, size_t bytes_max)
    : StorageWrapper(store), bytes_max_(bytes_max), self_(std::make_shared<RecordCache*>(this)) {}

RecordCache::~RecordCache() { *self_ = nullptr; }

const Bytes* RecordCache::Find(ColumnFamily family, BytesView key) {
  if (family != ColumnFamily::kData) return nullptr;
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  ++hits_;
  entries_.splice(entries_.begin(), entries_, found->second);
  return &found->second->value;
}

void RecordCache::Read(ColumnFamily family, Bytes key, ReadDone done) {
  if (family != ColumnFamily::kData) {
    store_->Read(family, std::move(key), std::move(done));
    return;
  }
  if (const Bytes* found = Find(family, key); found != nullptr) {
    done(std::optional<Bytes>(*found));
    return;
  }
  ++misses_;
  const uint32_t changes = ChangesOf(key);
  Bytes wanted = key;
  store_->Read(family, std::move(wanted),
               [self = self_, key = std::move(key), changes,
                done = std::move(done)](absl::StatusOr<std::optional<Bytes>> value) mutable {
                 RecordCache* cache = *self;
                 if (cache != nullptr && value.ok() && value->has_value() &&
                     cache->ChangesOf(key) == changes) {
                   cache->Hold(key, **value);
                 }
                 done(std::move(value));
               });
}

void RecordCache::Commit(StorageBatch batch, CommitDone done) {
  StorageBatch written;
  for (const StorageWrite& write : batch) {
    if (write.family == ColumnFamily::kData) written.push_back(write);
  }
  if (written.empty()) {
    store_->Commit(std::move(batch), std::move(done));
    return;
  }
  store_->Commit(std::move(batch), [self = self_, written = std::move(written),
                                    done = std::move(done)](absl::Status status) mutable {
    if (*self != nullptr) (*self)->Ended(written, status.ok());
    done(std::move(status));
  });
}

void RecordCache::Ended(const StorageBatch& written, bool committed) {
  for (const StorageWrite& write : written) {
    if (write.end.has_value()) {  // A whole partition, which is rare.
      for (uint32_t& changes : changes_) ++changes;
      for (auto it = entries_.begin(); it != entries_.end();) {
        const auto entry = it++;
        if (entry->key >= write.key && entry->key < *write.end) Forget(entry);
      }
      continue;
    }
    ++ChangesOf(write.key);
    if (committed && write.value.has_value()) {
      Hold(write.key, *write.value);
    } else {
      Forget(write.key);
    }
  }
}

void RecordCache::Hold(BytesView key, BytesView value) {
  const size_t cost = CostOf(key, value);
  if (cost > bytes_max_ / kShareMax) {
    Forget(key);
    return;
  }
  if (auto found = by_key_.find(key); found != by_key_.end()) {
    Entry& entry = *found->second;
    bytes_ += value.size() - entry.value.size();
    entry.value.assign(value);
    entries_.splice(entries_.begin(), entries_, found->second);
  } else {
    entries_.push_front({Bytes(key), Bytes(value)});
    by_key_.emplace(entries_.front().key, entries_.begin());
    bytes_ += cost;
  }
  while (bytes_ > bytes_max_) Forget(std::prev(entries_.end()));
}

void RecordCache::Forget(BytesView key) {
  if (auto found = by_key_.find(key); found != by_key_.end()) Forget(found->second);
}

void RecordCache::Forget(Entries::iterator entry) {
  bytes_ -= CostOf(entry->key, entry->value);
  by_key_.erase(entry->key);
  entries_.erase(entry);
}

uint32_t& RecordCache::ChangesOf(BytesView key) {
  return changes_[absl::HashOf(key) % changes_.size()];
}

}  // namespace annulus
