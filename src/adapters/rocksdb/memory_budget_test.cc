#include "adapters/rocksdb/memory_budget.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "adapters/rocksdb/test_store.h"

namespace annulus {
namespace {

void Write(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path) << text << "\n";
}

TEST(MemoryBudget, LeastLimitOfTheCgroupsAround) {
  TestDirectory root;
  const size_t machine = MemoryLimitBytes(root.path());
  EXPECT_GT(machine, 100u << 20);

  Write(root.path("proc/self/cgroup"), "0::/a/b/c");
  Write(root.path("sys/fs/cgroup/a/b/c/memory.max"), "max");
  EXPECT_EQ(MemoryLimitBytes(root.path()), machine);
  Write(root.path("sys/fs/cgroup/a/memory.max"), "67108864");
  EXPECT_EQ(MemoryLimitBytes(root.path()), 64u << 20);
  Write(root.path("sys/fs/cgroup/a/b/memory.max"), "33554432");
  EXPECT_EQ(MemoryLimitBytes(root.path()), 32u << 20);
}

TEST(MemoryBudget, LeastLimitOfTheCgroupsAroundInVersionOne) {
  TestDirectory root;
  Write(root.path("proc/self/cgroup"), "5:cpu,cpuacct:/other\n4:memory:/a/b\n0::/");
  Write(root.path("sys/fs/cgroup/memory/memory.limit_in_bytes"), "9223372036854771712");
  Write(root.path("sys/fs/cgroup/memory/a/memory.limit_in_bytes"), "67108864");
  EXPECT_EQ(MemoryLimitBytes(root.path()), 64u << 20);
  Write(root.path("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes"), "33554432");
  EXPECT_EQ(MemoryLimitBytes(root.path()), 32u << 20);
}

TEST(MemoryBudget, ContainerSeesItsLimitAtTheTop) {
  TestDirectory root;
  Write(root.path("proc/self/cgroup"), "0::/");
  Write(root.path("sys/fs/cgroup/memory.max"), "67108864");
  EXPECT_EQ(MemoryLimitBytes(root.path()), 64u << 20);
  TestDirectory old;
  Write(old.path("proc/self/cgroup"), "5:memory:/docker/1");
  Write(old.path("sys/fs/cgroup/memory/memory.limit_in_bytes"), "50331648");
  EXPECT_EQ(MemoryLimitBytes(old.path()), 48u << 20);
}

TEST(MemoryBudget, AQuarterAndLessOfMuchWithinBounds) {
  EXPECT_EQ(StorageMemoryBytes(400u << 20), 100u << 20);
  EXPECT_EQ(StorageMemoryBytes(size_t{8} << 30), size_t{1} << 30);
  EXPECT_EQ(StorageMemoryBytes(size_t{24} << 30), size_t{2} << 30);
  EXPECT_EQ(StorageMemoryBytes(1), kStorageMemoryBytesMin);
  EXPECT_EQ(StorageMemoryBytes(size_t{1} << 50), kStorageMemoryBytesMax);
}

}  // namespace
}  // namespace annulus
