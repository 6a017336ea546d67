// What the store does when its disk is slow, full or broken.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/rocksdb/faulty_disk.h"
#include "adapters/rocksdb/guarded_disk.h"
#include "adapters/rocksdb/test_store.h"
#include "core/error.h"

namespace annulus {
namespace {

using ::testing::HasSubstr;

class DiskFaults : public ::testing::Test {
 protected:
  // The tests that expect death run in a process of their own, started anew: RocksDB has threads.
  DiskFaults() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }

  TestDirectory directory_;
  std::shared_ptr<FaultyDisk> disk_ = std::make_shared<FaultyDisk>();
  std::unique_ptr<rocksdb::Env> env_ = rocksdb::NewCompositeEnv(disk_);
  TestStore store_{RocksOptions{.path = directory_.path("store"), .env = env_.get()}};
};

TEST_F(DiskFaults, NothingUnsyncedIsRead) {
  ASSERT_TRUE(store_.Open().ok());
  ASSERT_TRUE(store_.Put("k", "old").ok());
  const uint64_t sequence = store_.storage->Sequence();

  disk_->hold_syncs = true;
  std::optional<absl::Status> first;
  store_.storage->Commit({{ColumnFamily::kData, "k", "new"}},
                         [&](absl::Status status) { first = status; });
  ASSERT_TRUE(store_.loop.RunUntil([&] { return disk_->syncs_waiting == 1; }));
  // These come while that sync runs, in several turns, and share the next one.
  int others = 0;
  for (int i = 0; i < 10; ++i) {
    store_.storage->Commit({{ColumnFamily::kData, std::to_string(i), "v"}},
                           [&](absl::Status) { ++others; });
    store_.loop.Turn();
  }
  EXPECT_EQ(store_.Text("k"), "old") << "in the log, but not synced";
  EXPECT_EQ(store_.Range("k", "l")->entries[0].second, "old");
  EXPECT_EQ(store_.storage->Sequence(), sequence) << "nobody is told what is not durable";
  EXPECT_FALSE(first.has_value());
  const uint64_t posts_before = store_.loop.posts();

  disk_->hold_syncs = false;
  disk_->hold_syncs.notify_all();
  ASSERT_TRUE(store_.loop.RunUntil([&] { return others == 10; }));
  EXPECT_TRUE(first->ok());
  EXPECT_GT(store_.storage->Sequence(), sequence);
  EXPECT_EQ(store_.Text("k"), "new");
  EXPECT_EQ(store_.loop.posts() - posts_before, 2u);
}

TEST_F(DiskFaults, FullDiskRefusesCommitsAndHealsByItself) {
  ASSERT_TRUE(store_.Open().ok());
  ASSERT_TRUE(store_.Put("before", "v").ok());

  disk_->free_bytes = kCommitsFreeBytesMin;
  const absl::Status status = store_.Put("refused", "v");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(DetailsOf(status).reason, "DISK_FULL");
  EXPECT_THAT(std::string(status.message()), HasSubstr("free disk space"));
  EXPECT_EQ(store_.Text("refused"), "-");
  EXPECT_EQ(store_.Text("before"), "v");

  // What only removes goes on for a while, also in one group with what is refused.
  std::optional<absl::Status> refused, removed;
  store_.storage->Commit({{ColumnFamily::kData, "refused", "v"}},
                         [&](absl::Status s) { refused = std::move(s); });
  store_.storage->Commit({{ColumnFamily::kData, "before", std::nullopt}},
                         [&](absl::Status s) { removed = std::move(s); });
  ASSERT_TRUE(store_.loop.RunUntil([&] { return refused.has_value() && removed.has_value(); }));
  EXPECT_EQ(refused->code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(removed->ok()) << *removed;
  EXPECT_EQ(store_.Text("before"), "-");
  disk_->free_bytes = kRemovalsFreeBytesMin;
  EXPECT_EQ(store_.Remove("before").code(), absl::StatusCode::kResourceExhausted);

  disk_->free_bytes = -1;
  EXPECT_TRUE(store_.Put("after", "v").ok());
  store_.Close();
  ASSERT_TRUE(store_.Open().ok());
  EXPECT_EQ(store_.Text("before"), "-");
  EXPECT_EQ(store_.Text("refused"), "-");
  EXPECT_EQ(store_.Text("after"), "v");
}

TEST_F(DiskFaults, FlushThatMeetsAFullDiskHealsByItself) {
  ASSERT_TRUE(store_.Open().ok());
  disk_->free_bytes = kTablesFreeBytesMin - 1;
  std::vector<std::string> acknowledged;
  absl::Status status;
  for (int i = 0; i < 1000 && status.ok(); ++i) {  // More than the memtables hold.
    const std::string key = std::to_string(i);
    status = store_.Put(key, Bytes(100'000, 'x'));
    if (status.ok()) acknowledged.push_back(key);
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(DetailsOf(status).reason, "DISK_FULL");
  for (const std::string& key : acknowledged) EXPECT_EQ(store_.Text(key).size(), 100'000u);

  disk_->free_bytes = -1;
  ASSERT_TRUE(store_.loop.RunUntil([&] { return store_.Put("after", "v").ok(); }));
  store_.Close();
  ASSERT_TRUE(store_.Open().ok());
  for (const std::string& key : acknowledged) EXPECT_EQ(store_.Text(key).size(), 100'000u);
  EXPECT_EQ(store_.Text("after"), "v");
}

TEST_F(DiskFaults, ClosesAndOpensWhileTheDiskIsFull) {
  ASSERT_TRUE(store_.Open().ok());
  disk_->free_bytes = kTablesFreeBytesMin - 1;
  int acknowledged = 0;
  while (store_.Put(std::to_string(acknowledged), Bytes(100'000, 'x')).ok()) ++acknowledged;
  store_.Close();
  // Flushes what the log has, which takes a table.
  EXPECT_EQ(store_.Open().code(), absl::StatusCode::kResourceExhausted);
  disk_->free_bytes = -1;
  ASSERT_TRUE(store_.Open().ok());
  for (int i = 0; i < acknowledged; ++i) {
    EXPECT_EQ(store_.Text(std::to_string(i)).size(), 100'000u);
  }
}

TEST_F(DiskFaults, LogThatMeetsAFullDiskEndsTheProcess) {
  const auto fail = [this] {
    if (!store_.Open().ok()) return;
    disk_->full = true;
    store_.Put("k", Bytes(100'000, 'x')).IgnoreError();
  };
  EXPECT_DEATH(fail(), "the disk failed, the process ends: writing .*\\.log");
}

// What the disk has of a record of 100,000 bytes, the last of the log, when the power goes.
TEST_F(DiskFaults, TornRecordIsNotThereAtTheNextStart) {
  ASSERT_TRUE(store_.Open().ok());
  ASSERT_TRUE(store_.Put("before", "v").ok());
  disk_->hold_syncs = true;
  store_.storage->Commit({{ColumnFamily::kData, "torn", Bytes(100'000, 'x')}}, [](absl::Status) {});
  ASSERT_TRUE(store_.loop.RunUntil([&] { return disk_->syncs_waiting == 1; }));
  const std::string whole = directory_.path("whole");
  std::filesystem::copy(directory_.path("store"), whole);
  disk_->hold_syncs = false;
  disk_->hold_syncs.notify_all();

  struct Tear {
    const char* name;
    size_t lost_from, lost_to;  // Zeros are there instead, as before it was written.
    bool is_cut = false;        // Also the file's new length had not reached the disk.
  };
  for (const Tear& tear : {Tear{"end", 50'000, 200'000}, Tear{"middle", 40'960, 49'152},
                           Tear{"block", 32'768, 65'536}, Tear{"rest", 32'768, 200'000},
                           Tear{"start", 4'096, 36'864}, Tear{"cut", 50'000, 200'000, true}}) {
    const std::string copy = directory_.path(tear.name);
    std::filesystem::copy(whole, copy);
    for (const auto& entry : std::filesystem::directory_iterator(copy)) {
      if (entry.path().extension() != ".log") continue;
      ASSERT_GT(entry.file_size(), tear.lost_to) << "zeros lie ahead of a log's end";
      std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(static_cast<std::streamoff>(tear.lost_from));
      file << std::string(tear.lost_to - tear.lost_from, '\0');
      file.close();
      if (tear.is_cut) std::filesystem::resize_file(entry.path(), tear.lost_from);
    }
    TestStore crashed(copy);
    const absl::Status opened = crashed.Open();
    ASSERT_TRUE(opened.ok()) << tear.name << ": " << opened;
    EXPECT_EQ(crashed.Text("before"), "v") << tear.name;
    EXPECT_EQ(crashed.Text("torn"), "-") << tear.name;
  }
}

TEST_F(DiskFaults, AClosedLogIsCutToItsLength) {
  ASSERT_TRUE(store_.Open().ok());
  ASSERT_TRUE(store_.Put("k", "v").ok());
  store_.Close();
  int logs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory_.path("store"))) {
    if (entry.path().extension() != ".log") continue;
    ++logs;
    EXPECT_LT(entry.file_size(), 1000u);
  }
  EXPECT_EQ(logs, 1);
}

TEST_F(DiskFaults, FailedSyncEndsTheProcess) {
  const auto fail = [this] {
    if (!store_.Open().ok()) return;
    disk_->fail_syncs = true;
    store_.Put("k", "v").IgnoreError();
  };
  EXPECT_DEATH(fail(), "the disk failed, the process ends: syncing .*\\.log");
}

// RocksDB never writes again once a compaction has met damage. Who can rebuild the data from
// elsewhere ends there, and says so to the next start.
TEST_F(DiskFaults, DamageThatACompactionMeetsMarksTheDatabase) {
  const std::string path = directory_.path("store");
  TestStore store(RocksOptions{.path = path, .ends_when_damaged = true});
  for (int table = 0; table < 3; ++table) {
    ASSERT_TRUE(store.Open().ok());  // Makes a table of the log of before.
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(store.Put(std::to_string(i), Bytes(100, 'x')).ok());
    store.Close();
  }
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    if (entry.path().extension() != ".sst") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(10);
    file.put('?');
  }
  const auto compact = [&] {
    for (int table = 0; table < 8; ++table) {  // So many are merged.
      if (!store.Open().ok()) return;
      store.Put("k", "v").IgnoreError();
      store.Close();
    }
    if (!store.Open().ok()) return;
    store.loop.RunUntil([] { return false; });
  };
  EXPECT_DEATH(compact(), "background work met damage");
}

// To answer "damaged" for ever would keep anti-entropy, hand-off and the rebuild of others from
// what lies beside it.
TEST_F(DiskFaults, DamageThatAReadMeetsMarksTheDatabase) {
  const std::string path = directory_.path("store");
  TestStore store(RocksOptions{.path = path, .ends_when_damaged = true});
  ASSERT_TRUE(store.Open().ok());
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(store.Put(std::to_string(i), Bytes(100, 'x')).ok());
  store.Close();
  ASSERT_TRUE(store.Open().ok());  // Makes a table of the log.
  store.Close();
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    if (entry.path().extension() != ".sst") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(10);
    file.put('?');
  }
  // Whoever starts is told, and can set the database aside without ending.
  ASSERT_TRUE(store.Open().ok());
  EXPECT_EQ(store.Text("1"), "DATA_LOSS");
  store.Close();
  const auto read = [&] {
    if (!store.Open().ok()) return;
    store.storage->EndAtDamagedReads();
    store.Text("1");
  };
  EXPECT_DEATH(read(), "a read met damage");
  const auto scan = [&] {
    if (!store.Open().ok()) return;
    store.storage->EndAtDamagedReads();
    store.Range("", "z").status().IgnoreError();
  };
  EXPECT_DEATH(scan(), "a read met damage");
}

TEST_F(DiskFaults, FailedWriteEndsTheProcess) {
  const auto fail = [this] {
    if (!store_.Open().ok()) return;
    disk_->broken = true;
    store_.Put("k", "v").IgnoreError();
  };
  EXPECT_DEATH(fail(), "the disk failed, the process ends: writing .*planted");
}

}  // namespace
}  // namespace annulus
