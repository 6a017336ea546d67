#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/cluster.h"
#include "sim/cuts.h"
#include "sim/fault_kind.h"
#include "sim/lost_copies.h"

namespace annulus::sim {

struct FaultOptions {
  // Kinds that do not happen, as bits.
  uint32_t without = 0;
  // Where given, no other episodes happen than these, by their numbers: to narrow a failure down.
  std::optional<std::vector<uint64_t>> only_episodes;
  // Never two faults at once, each about one process, disk, link or clock, with time to recover
  // behind it; and no weather. This is what promise 5 speaks of.
  bool one_at_a_time = false;
  // Some messages come seconds late, in most runs of this kind: after rounds of reaping, too.
  bool stragglers = false;
  // Is told of writes whose only copies go with a disk, or with a value on it.
  std::function<void(const LostCopies&)> on_copies_lost = [](const auto&) {};
};

// Which faults a run meets, and when: drawn from the seed, one episode after the other and some at
// once, so that the quorums of most items usually survive: as a rule at most one process is down,
// paused or cut off at a time. Each run has its own weather besides: some loss, duplicates and
// reordering all the time.
//
// Every episode draws from dice of its own, so that leaving one out changes no other.
// Faults come to an end with Heal, and nothing begins after it.
class Faults {
 public:
  Faults(Cluster* cluster, FaultOptions options);

  void Start();
  // Ends all faults: paths, disks and clocks as new, every process up.
  void Heal();

  uint32_t count(FaultKind kind) const { return counts_[static_cast<size_t>(kind)]; }
  // Numbers of the episodes that took place, ascending.
  const std::vector<uint64_t>& took_place() const { return took_place_; }

  bool one_at_a_time() const { return options_.one_at_a_time; }
  // Whether nothing was wrong with the process itself since then: no fault of its node, of all its
  // links, of its standing up. Its disk, its clock, or one of its links may have failed.
  bool WasHealthy(int process, Instant since) const;

 private:
  struct Episode {
    uint64_t id;
    FaultKind kind;
    Random dice;
    Duration length{0};
    std::vector<int> processes;  // Whom it is about; empty: everybody.
    int other = 0;               // Of a link: the other end.
    double strength = 0;         // In (0, 1].
    Cuts cuts;
    bool Touches(uint16_t process) const;
    bool IsLink(uint16_t a, uint16_t b) const;
  };

  void ScheduleNext(Duration wait);
  // Returns how long it goes on, recovery included; 0 where it does not take place.
  Duration Begin(uint64_t id);
  void End(uint64_t id);
  bool IsWanted(const Episode& episode) const;
  // Whom it is about, and how. False where it cannot happen now.
  bool Aim(Episode* episode);
  bool AimAtVictim(Episode* episode);
  bool OthersHaveTheirDisks(int process);
  // For kinds that happen at one moment; false for the others.
  bool Strike(const Episode& episode);
  void RunSwizzle(const Episode& episode);
  void HealOneByOne(const Episode& episode, const Cuts& links);
  void AtEachLink(const Episode& episode, const Cuts& links, Duration from,
                  std::function<void(Cuts*, Cut)> change);
  void CrashWhileCutOff(const Episode& episode);
  void CrashInIsolation(int process, const Episode& episode);
  void StartClock(Episode* episode);
  void StopClock(const Episode& episode);

  enum class Moment : uint8_t { kAny, kUnsynced, kInSync, kInSyncOfSeveral };
  // Takes the process down at such a moment of its disk, or when it never comes, and up again.
  void TakeDown(const Episode& episode, Moment moment);
  void PutBackLater(const Episode& episode, Duration age);
  void TakeDownAt(Moment moment, int tries, const Episode& episode);
  void BringUp(int process, const Episode& episode);
  void ComeBackLinkByLink(const Episode& gone);
  // All go down, a little after some node began to write a hint, or when none does.
  void CutPower(const Episode& episode);
  void CutPowerNow(const Episode& episode);
  void EndOfDrain(int process, int crashes);

  // Writes the sum of the weather and all episodes to paths and disks.
  void Apply();
  PathConditions PathOf(uint16_t from, uint16_t to) const;
  int AnyProcess(Random* dice) const;
  Duration Between(Random* dice, Duration low, Duration high) const;
  void Note(const Episode& episode, bool begins);

  Cluster* cluster_;
  World* world_;
  FaultOptions options_;
  Random random_;
  PathConditions weather_;
  std::array<double, kFaultKinds> weights_;
  Duration calm_;  // Between two beginnings, on average.
  bool healed_ = false;
  uint64_t last_id_ = 0;
  std::vector<Episode> episodes_;
  std::vector<bool> is_victim_;    // By process: down, paused, cut off, or about to be.
  std::vector<bool> is_replaced_;  // The disk, of a process that may not know all that it held yet.
  // By process: until when something is wrong with it; kForever while its end is not known.
  std::vector<Instant> unhealthy_until_;
  std::array<uint32_t, kFaultKinds> counts_{};
  std::vector<uint64_t> took_place_;
  std::vector<std::shared_ptr<const SimDisk::Image>> old_disks_;  // By process.
  // Until then a node with an old disk may not have been told so by those who remember it.
  Instant old_disk_until_ = Instant::min();
};

}  // namespace annulus::sim
