#include "adapters/rocksdb/memory_budget.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <optional>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

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

// "/a/b" out of the line "0::/a/b", or of version 1's "3:memory:/a/b".
std::string OwnCgroup(const std::string& root, std::string_view version) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t at = line.find(version);
    if (at != std::string::npos && at <= line.find(':')) return line.substr(at + version.size());
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
  const auto lower_to_all_of = [&](const std::string& folder, std::string group,
                                   const std::string& file) {
    while (!group.empty()) {
      lower_to(LimitIn(absl::StrCat(root, folder, group, "/", file)));
      group.erase(group.find_last_of('/'));
    }
    lower_to(LimitIn(absl::StrCat(root, folder, "/", file)));
  };
  lower_to_all_of("/sys/fs/cgroup", OwnCgroup(root, "0::"), "memory.max");
  lower_to_all_of("/sys/fs/cgroup/memory", OwnCgroup(root, ":memory:"), "memory.limit_in_bytes");
  return limit;
}

size_t StorageMemoryBytes(size_t limit_bytes) {
  const size_t share = std::min(limit_bytes / 4, std::max(size_t{1} << 30, limit_bytes / 12));
  return std::clamp(share, kStorageMemoryBytesMin, kStorageMemoryBytesMax);
}

}  // namespace annulus
