#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "base/bytes.h"
#include "env/storage.h"

namespace annulus {

// Holds what was read or written of kData lately in memory, in front of a store: a put looks up
// what it replaces at every owner, and in the store that is a search in each of its memtables and
// levels. All else goes through. The least recently used goes first.
//
// Like the store, it answers only with what is durable: what a commit writes is held from the
// moment at which it is acknowledged.
//
// REQUIRES: all calls on the loop's thread; the store outlives it, and calls back on that thread.
class RecordCache final : public StorageWrapper {
 public:
  // Holds at most about `bytes_max`, keys and its own overhead among them; 0: holds nothing.
  RecordCache(Storage* store, size_t bytes_max);
  ~RecordCache() override;
  RecordCache(const RecordCache&) = delete;
  RecordCache& operator=(const RecordCache&) = delete;

  const Bytes* Find(ColumnFamily family, BytesView key) override;
  void Read(ColumnFamily family, Bytes key, ReadDone done) override;
  void Commit(StorageBatch batch, CommitDone done) override;

  size_t bytes() const { return bytes_; }
  uint64_t hits() const { return hits_; }
  uint64_t misses() const { return misses_; }

 private:
  struct Entry {
    Bytes key;
    Bytes value;
  };
  using Entries = std::list<Entry>;  // The most recently used is the first.

  void Hold(BytesView key, BytesView value);
  void Forget(BytesView key);
  void Forget(Entries::iterator entry);
  // Of a commit, what it wrote in kData.
  void Ended(const StorageBatch& written, bool committed);
  uint32_t& ChangesOf(BytesView key);

  const size_t bytes_max_;
  Entries entries_;
  absl::flat_hash_map<BytesView, Entries::iterator> by_key_;  // Keys are the entries'.
  size_t bytes_ = 0;
  uint64_t hits_ = 0;
  uint64_t misses_ = 0;
  // Commits that have ended, by a part of their key's hash: what a read brings that one has
  // overtaken is not held, since it may be older.
  std::array<uint32_t, 1024> changes_ = {};
  // Gone with this: callbacks of the store may come later.
  std::shared_ptr<RecordCache*> self_;
};

}  // namespace annulus
