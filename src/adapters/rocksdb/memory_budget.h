#pragma once

#include <cstddef>
#include <string>

namespace annulus {

inline constexpr size_t kStorageMemoryBytesMin = 16u << 20;
inline constexpr size_t kStorageMemoryBytesMax = size_t{16} << 30;

// The memory that this process may use: the least of the limits of its cgroup and the cgroups
// around it (version 2, or version 1 as containers see it), and of the machine's memory. `root`
// stands before /proc and /sys, for tests.
size_t MemoryLimitBytes(const std::string& root = "");

// The share of it that the store takes: a quarter, since the kernel's page cache of the same files,
// the requests in flight and gRPC's buffers live under the same limit; but no more than a twelfth
// beyond 1 GiB, since several nodes may share a machine (`annulus dev`) and know nothing of each
// other.
size_t StorageMemoryBytes(size_t limit_bytes);

}  // namespace annulus
