#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/checker.h"
#include "sim/faults.h"

namespace annulus::sim {

struct RunOptions {
  bool sync = true;
  bool keep_story = false;

  // To narrow a failure down. Fault kinds that do not happen, as bits;
  uint32_t without = 0;
  // the only episodes of faults that do, by their numbers;
  std::optional<std::vector<uint64_t>> only_episodes;
  // and limits of the workload; 0: as drawn.
  int clients_max = 0;
  int operations_max = 0;
  int keys_max = 0;
};

// What has to happen in enough of the seeds, or they prove too little.
enum class Sight : uint8_t {
  kSiblings,     // A read that shows more than one value.
  kLostWrites,   // A crash that forgets what was not synced.
  kPromised,     // One fault at a time, and requests that promise 5 speaks of.
  kHints,        // Hints that reached their targets.
  kReadRepairs,  // Records that a read sent to owners that lacked a part of them.
  kReap,         // Tombstones, or values long expired, that were deleted for good.
  kRebuild,      // Partitions that an owner has fetched again from the others.
  kCount,
};
inline constexpr int kSights = static_cast<int>(Sight::kCount);
std::string_view ToString(Sight sight);

// What one seed came to.
struct RunReport {
  uint64_t seed = 0;
  std::vector<std::string> violations;         // One line each.
  std::vector<std::string> violation_history;  // Of the first violation's item, a line each.
  std::vector<std::string> story;
  uint64_t trace_hash = 0;

  uint64_t operations = 0;
  uint64_t acknowledged = 0;
  uint64_t events = 0;
  uint64_t messages = 0;
  uint64_t simulated_ms = 0;
  uint64_t scans = 0;
  uint64_t siblings_max = 0;  // The most values that one read showed.
  uint64_t sibling_reads = 0;
  uint64_t crashes = 0;
  uint64_t crashes_that_lost = 0;  // Unsynced batches.
  uint64_t batches_lost = 0;
  uint64_t commits_failed = 0;
  uint64_t forwards_again = 0;  // Writes whose forward reached minters more than once.
  uint64_t several_minters = 0;
  uint64_t exempted = 0;
  uint64_t acknowledged_writes = 0;
  uint64_t lost_with_disks = 0;  // Of these: see CheckResult.
  std::array<uint32_t, kFaultKinds> faults{};
  std::array<uint64_t, kSights> sights{};  // How often each was seen.
  std::vector<uint64_t> episodes;          // Of faults: the numbers of those that took place.
};

// A whole run: a cluster, its workload and its faults, all from the seed; heal, quiescence, final
// reads, check. Independent of every other run in the process, but for the planted bug.
RunReport RunSeed(uint64_t seed, const RunOptions& options);

}  // namespace annulus::sim
