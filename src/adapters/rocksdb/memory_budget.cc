#include "adapters/rocksdb/memory_budget.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"

namespace annulus {

namespace {

// The number in a file; nullopt where there is no such file, or "max".
std::optional<size_t> LimitIn(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  uint64_t bytes = 0;
  if (!(file >> word) || !absl::SimpleAtoi(word, &bytes)) return std::nullopt;
  return bytes;
}

// "/a/b" out of the line "0::/a/b".
std::string OwnCgroup(const std::string& root) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (absl::StartsWith(line, "0::")) return line.substr(3);
  }
  return "/";
}

}  // namespace

size_t MemoryLimitBytes(const std::string& root) {
  size_t limit =
      static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const auto lower_to = [&limit](std::optional<size_t> other) {
    if (other.has_value()) limit = std::min(limit, *other);
  };
  std::string group = OwnCgroup(root);
  while (!group.empty()) {
    lower_to(LimitIn(root + "/sys/fs/cgroup" + group + "/memory.max"));
    group.erase(group.find_last_of('/'));
  }
  lower_to(LimitIn(root + "/sys/fs/cgroup/memory.max"));
  lower_to(LimitIn(root + "/sys/fs/cgroup/memory/memory.limit_in_bytes"));
  return limit;
}

size_t StorageMemoryBytes(size_t limit_bytes) {
  return std::clamp(limit_bytes / 4, kStorageMemoryBytesMin, kStorageMemoryBytesMax);
}

}  // namespace annulus
