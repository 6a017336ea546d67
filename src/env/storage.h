#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"

namespace annulus {

enum class ColumnFamily : uint8_t {
  kData,  // Records, under their data keys (core/ring).
  kHint,  // Writes kept for other nodes.
  kTree,  // Leaf digests.
  kMeta,  // Identity, format, layout, epochs.
};
inline constexpr int kColumnFamilies = 4;

struct StorageWrite {
  ColumnFamily family;
  Bytes key;
  std::optional<Bytes> value;  // nullopt removes the key.
  // Mixes the value, 8 bytes, into the 8 that are there (XOR; where there are none, into zeros).
  // Such writes commute, so that leaves of hash trees need no latch. In kTree only, which has
  // nothing but such values.
  bool mixes = false;
  // Removes all keys from `key` to this one, which is not among them. REQUIRES: no value. Never
  // beside another write to one of them in the same batch.
  std::optional<Bytes> end = std::nullopt;
};
// Applied as one, or not at all.
using StorageBatch = std::vector<StorageWrite>;
// Such a batch makes room in the end, and is taken for a while where the disk is full for others.
inline bool OnlyRemoves(const StorageBatch& batch) {
  for (const StorageWrite& write : batch) {
    if (write.value.has_value()) return false;
  }
  return true;
}

struct StoragePage {
  std::vector<std::pair<Bytes, Bytes>> entries;  // Ascending by key.
  bool more = false;                             // The range goes on behind the last entry.
};

// The durable store under one node. All calls and all callbacks happen on the loop's thread; a
// callback may come before the call returns where the answer is in memory already.
//
// Errors: RESOURCE_EXHAUSTED where the disk is full (nothing was written), DATA_LOSS where bytes on
// disk cannot be read. (Bytes that the store itself finds damaged end the process where there are
// peers to rebuild from; what it takes for good and is not, the checksums of records find.) A
// failed fsync is no error here: it ends the process, since nobody can know what it left behind.
class Storage {
 public:
  using ReadDone = absl::AnyInvocable<void(absl::StatusOr<std::optional<Bytes>>)>;
  using CommitDone = absl::AnyInvocable<void(absl::Status)>;
  using PageDone = absl::AnyInvocable<void(absl::StatusOr<StoragePage>)>;

  virtual ~Storage() = default;

  // The value as last committed; nullopt where there is none. Sees only what has been acknowledged.
  virtual void Read(ColumnFamily family, Bytes key, ReadDone done) = 0;

  // The value where it lies in memory as it is, until the next call; null where only Read can tell.
  virtual const Bytes* Find(ColumnFamily /*family*/, BytesView /*key*/) { return nullptr; }

  // Writes the batch. Batches that arrive while one sync runs share the next; order is kept. `done`
  // comes when the batch is durable (with sync off: written) and readable.
  virtual void Commit(StorageBatch batch, CommitDone done) = 0;

  // Entries of [begin, end) in key order, until `entries_max` or about `bytes_max` (at least one).
  virtual void ReadRange(ColumnFamily family, Bytes begin, Bytes end, size_t entries_max,
                         size_t bytes_max, PageDone done) = 0;

  // Whether a commit is durable when it is acknowledged.
  virtual bool Syncs() const = 0;

  // Rises with each durable commit, by any number, and is as durable as they are: no crash makes it
  // fall below what was returned before. Only another disk does: an empty one begins near 0, and a
  // copy where it was taken (DESIGN section 8). With sync off it may lag behind, for the same
  // reason.
  virtual uint64_t Sequence() const = 0;
};

// Another store as it is; who derives from it changes a part.
class StorageWrapper : public Storage {
 public:
  // `store` outlives it.
  explicit StorageWrapper(Storage* store) : store_(store) {}

  void Read(ColumnFamily family, Bytes key, ReadDone done) override {
    store_->Read(family, std::move(key), std::move(done));
  }
  const Bytes* Find(ColumnFamily family, BytesView key) override {
    return store_->Find(family, key);
  }
  void Commit(StorageBatch batch, CommitDone done) override {
    store_->Commit(std::move(batch), std::move(done));
  }
  void ReadRange(ColumnFamily family, Bytes begin, Bytes end, size_t entries_max, size_t bytes_max,
                 PageDone done) override {
    store_->ReadRange(family, std::move(begin), std::move(end), entries_max, bytes_max,
                      std::move(done));
  }
  bool Syncs() const override { return store_->Syncs(); }
  uint64_t Sequence() const override { return store_->Sequence(); }

 protected:
  Storage* const store_;
};

}  // namespace annulus
