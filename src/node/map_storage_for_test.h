#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "core/hint/hint.h"
#include "env/env.h"
#include "node/replica.h"
#include "task/manual_loop.h"
#include "task/spawn.h"

namespace annulus {

// A store in memory. Commits succeed at once, unless `fails` says how they end, or `holds` keeps
// them until LetGo.
class MapStorage : public Storage {
 public:
  using Key = std::pair<ColumnFamily, Bytes>;

  void Read(ColumnFamily family, Bytes key, ReadDone done) override {
    auto found = entries.find({family, key});
    done(found == entries.end() ? std::nullopt : std::optional<Bytes>(found->second));
  }
  void Commit(StorageBatch batch, CommitDone done) override {
    if (holds) {
      held.emplace_back(std::move(batch), std::move(done));
      return;
    }
    if (fails.ok()) Apply(std::move(batch));
    done(fails);
  }
  void ReadRange(ColumnFamily family, Bytes begin, Bytes end, size_t entries_max, size_t,
                 PageDone done) override {
    StoragePage page;
    for (auto it = entries.lower_bound({family, begin}); it != entries.end(); ++it) {
      if (it->first >= Key{family, end}) break;
      if (page.entries.size() == entries_max) {
        page.more = true;
        break;
      }
      page.entries.emplace_back(it->first.second, it->second);
    }
    done(std::move(page));
  }
  bool Syncs() const override { return true; }
  uint64_t Sequence() const override { return 0; }

  void Apply(StorageBatch batch) {
    for (StorageWrite& write : batch) {
      const Key key{write.family, write.key};
      if (write.end.has_value()) {
        entries.erase(entries.lower_bound(key), entries.lower_bound({write.family, *write.end}));
      } else if (write.mixes) {
        uint64_t before = 0, delta = 0;
        ByteReader(entries[key]).Fixed64(&before);
        ByteReader(*write.value).Fixed64(&delta);
        entries[key].clear();
        PutFixed64(&entries[key], before ^ delta);
      } else if (write.value.has_value()) {
        entries[key] = *std::move(write.value);
      } else {
        entries.erase(key);
      }
    }
  }

  // The first of those that are held.
  void LetGo() {
    auto [batch, done] = std::move(held.front());
    held.pop_front();
    Apply(std::move(batch));
    done(absl::OkStatus());
  }

  size_t CountOf(ColumnFamily family, const KeyRange& range) const {
    size_t count = 0;
    for (auto it = entries.lower_bound({family, range.begin}); it != entries.end(); ++it) {
      if (it->first >= Key{family, range.end}) break;
      ++count;
    }
    return count;
  }

  std::map<Key, Bytes> entries;
  absl::Status fails;
  bool holds = false;
  std::deque<std::pair<StorageBatch, CommitDone>> held;
};

class FixedClock : public Clock {
 public:
  WallTime Wall() const override { return now; }
  WallTime now{1'000'000'000'000};
};

// A replica on such a store, every partition of which it serves.
struct ReplicaForTest {
  static constexpr uint32_t kPartitions = 256;

  explicit ReplicaForTest(Replica::Options options = {})
      : replica(env, Incarnation{5}, &epochs, options) {
    for (uint32_t p = 0; p < kPartitions; ++p) epochs.Serve(PartitionId(p));
  }

  // Of a flow that waits for nothing but this store.
  template <class T>
  T Run(Task<T> task) {
    return Start(std::move(task))->value_or(T(absl::UnknownError("it waits")));
  }
  // What it comes to, once it has: it may wait for commits that are held.
  template <class T>
  std::shared_ptr<std::optional<T>> Start(Task<T> task) {
    auto result = std::make_shared<std::optional<T>>();
    group.Spawn([](Task<T> task, std::shared_ptr<std::optional<T>> result) -> Task<void> {
      T value = co_await std::move(task);
      *result = std::move(value);
    }(std::move(task), result));
    loop.Run();
    return result;
  }

  ManualLoop loop;
  FixedClock clock;
  MapStorage storage;
  Random random{1};
  Env env{.loop = &loop, .clock = &clock, .storage = &storage, .random = &random};
  Epochs epochs{env, kPartitions};
  Replica replica;
  TaskGroup group;
};

}  // namespace annulus
