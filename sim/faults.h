#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "sim/cluster.h"

namespace annulus::sim {

enum class FaultKind : uint8_t {
  kDelay,      // Everything to or from one process, or everywhere, is late.
  kReorder,    // Messages overtake each other.
  kDuplicate,  // Messages arrive twice.
  kLoss,       // Messages vanish.
  kOneWayCut,  // One direction between two processes, or all out of or into one.
  kIsolate,    // One process is cut off from all others.
  kPartition,  // Two sides that do not hear each other.
  kCrash,      // A process dies, its disk forgets what was not synced, and it comes back.
  kPause,      // A process stands still, and goes on as if nothing had been.
  kSlowDisk,
  kFullDisk,
  kFailingCommits,  // Some commits of one disk fail.
  kCount,
};
inline constexpr int kFaultKinds = static_cast<int>(FaultKind::kCount);
std::string_view ToString(FaultKind kind);

// Which faults a run meets, and when: drawn from the seed, one episode after the other and some at
// once, so that the quorums of most items usually survive: as a rule at most one process is down,
// paused or cut off at a time. Each run has its own weather besides: some loss, duplicates and
// reordering all the time.
//
// Faults come to an end with Heal, and nothing begins after it.
class Faults {
 public:
  // `without`: the kinds that do not happen, as bits.
  Faults(Cluster* cluster, uint32_t without);

  void Start();
  // Ends all faults: paths and disks as new, every process up.
  void Heal();

  uint32_t count(FaultKind kind) const { return counts_[static_cast<size_t>(kind)]; }
  // In how many crashes a disk lost something is SimDisk's to tell.

 private:
  struct Episode {
    uint64_t id;
    FaultKind kind;
    std::vector<int> processes;  // Whom it is about; empty: everybody.
    int other = 0;               // Of a one-way cut: the other end, or 0 for all.
    bool outward = true;
    double strength = 0;  // In (0, 1].
    bool Touches(uint16_t process) const;
  };

  void ScheduleNext();
  void Begin();
  void End(uint64_t id);
  void CrashWhenBusy(int process, int tries, Duration down_for);
  // Writes the sum of the weather and all episodes to paths and disks.
  void Apply();
  int PickVictim();
  Duration Between(Duration low, Duration high);
  void Note(const Episode& episode, bool begins);

  Cluster* cluster_;
  World* world_;
  Random random_;
  PathConditions weather_;
  std::array<double, kFaultKinds> weights_;
  Duration calm_;  // Between two beginnings, on average.
  bool healed_ = false;
  uint64_t last_id_ = 0;
  std::vector<Episode> episodes_;
  std::vector<bool> is_victim_;  // By process: down, paused, cut off, or about to be.
  std::array<uint32_t, kFaultKinds> counts_{};
};

}  // namespace annulus::sim
