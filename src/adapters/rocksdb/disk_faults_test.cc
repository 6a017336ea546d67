// What the store does when its disk is slow, full or broken.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "adapters/rocksdb/faulty_disk.h"
#include "adapters/rocksdb/test_store.h"

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
  EXPECT_FALSE(first.has_value());
  const uint64_t posts_before = store_.loop.posts();

  disk_->hold_syncs = false;
  disk_->hold_syncs.notify_all();
  ASSERT_TRUE(store_.loop.RunUntil([&] { return others == 10; }));
  EXPECT_TRUE(first->ok());
  EXPECT_EQ(store_.Text("k"), "new");
  EXPECT_EQ(store_.loop.posts() - posts_before, 2u);
}

TEST_F(DiskFaults, FullDiskRefusesAndHealsByItself) {
  ASSERT_TRUE(store_.Open().ok());
  ASSERT_TRUE(store_.Put("before", "v").ok());

  disk_->full = true;
  const absl::Status status = store_.Put("refused", Bytes(100'000, 'x'));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(store_.Put("refused too", "v").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(store_.Text("refused"), "-");
  EXPECT_EQ(store_.Text("before"), "v");

  disk_->full = false;
  ASSERT_TRUE(store_.loop.RunUntil([&] { return store_.Put("after", "v").ok(); }));
  EXPECT_EQ(store_.Text("refused"), "-");

  store_.Close();
  ASSERT_TRUE(store_.Open().ok());
  EXPECT_EQ(store_.Text("before"), "v");
  EXPECT_EQ(store_.Text("refused"), "-");
  EXPECT_EQ(store_.Text("refused too"), "-");
  EXPECT_EQ(store_.Text("after"), "v");
}

TEST_F(DiskFaults, RefusedWriteDoesNotComeBackAfterACrash) {
  ASSERT_TRUE(store_.Open().ok());
  ASSERT_TRUE(store_.Put("before", "v").ok());
  disk_->full = true;
  EXPECT_FALSE(store_.Put("refused", Bytes(100'000, 'x')).ok());

  // The directory as a crash would leave it.
  const std::string copy = directory_.path("copy");
  std::filesystem::copy(directory_.path("store"), copy);
  TestStore crashed(copy);
  const absl::Status status = crashed.Open();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(crashed.Text("before"), "v");
  EXPECT_EQ(crashed.Text("refused"), "-");
}

TEST_F(DiskFaults, ClosesWhileTheDiskIsFull) {
  ASSERT_TRUE(store_.Open().ok());
  ASSERT_TRUE(store_.Put("before", "v").ok());
  disk_->full = true;
  EXPECT_FALSE(store_.Put("refused", "v").ok());
  store_.Close();
  disk_->full = false;
  ASSERT_TRUE(store_.Open().ok());
  EXPECT_EQ(store_.Text("before"), "v");
  EXPECT_EQ(store_.Text("refused"), "-");
}

TEST_F(DiskFaults, FailedSyncEndsTheProcess) {
  const auto fail = [this] {
    if (!store_.Open().ok()) return;
    disk_->fail_syncs = true;
    store_.Put("k", "v").IgnoreError();
  };
  EXPECT_DEATH(fail(), "the disk failed, the process ends: syncing .*\\.log");
}

TEST_F(DiskFaults, FailedWriteEndsTheProcess) {
  const auto fail = [this] {
    if (!store_.Open().ok()) return;
    disk_->broken = true;
    store_.Put("k", "v").IgnoreError();
  };
  EXPECT_DEATH(fail(), "the disk failed, the process ends: .*planted");
}

}  // namespace
}  // namespace annulus
