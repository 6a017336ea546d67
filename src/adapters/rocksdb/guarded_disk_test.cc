#include "adapters/rocksdb/guarded_disk.h"

#include <gtest/gtest.h>

#include <fstream>
#include <memory>

#include "adapters/rocksdb/test_store.h"

namespace annulus {
namespace {

TEST(GuardedDisk, OpensNoTableForWhoMayNotWait) {
  TestDirectory directory;
  std::ofstream(directory.path("1.sst")) << "table";
  GuardedDisk disk(rocksdb::FileSystem::Default());
  std::unique_ptr<rocksdb::FSRandomAccessFile> file;
  const auto opened = [&] {
    return disk.NewRandomAccessFile(directory.path("1.sst"), {}, &file, nullptr);
  };
  {
    ReadsWithoutWaiting without_waiting;
    EXPECT_TRUE(opened().IsBusy());
  }
  ASSERT_TRUE(opened().ok());
}

TEST(GuardedDisk, ReadsNothingShortForWhoMayNotWait) {
  TestDirectory directory;
  std::ofstream(directory.path("1.sst")) << "table";
  GuardedDisk disk(rocksdb::FileSystem::Default());
  std::unique_ptr<rocksdb::FSRandomAccessFile> file;
  ASSERT_TRUE(disk.NewRandomAccessFile(directory.path("1.sst"), {}, &file, nullptr).ok());
  char scratch[10];
  rocksdb::Slice read;
  ASSERT_TRUE(file->Read(2, 10, {}, &read, scratch, nullptr).ok());
  EXPECT_EQ(read.ToString(), "ble");
  ReadsWithoutWaiting without_waiting;
  EXPECT_TRUE(file->Read(2, 10, {}, &read, scratch, nullptr).IsBusy());
}

}  // namespace
}  // namespace annulus
