#pragma once

#include <cstdint>
#include <string_view>

namespace annulus::sim {

enum class FaultKind : uint8_t {
  // Messages.
  kDelay,      // Everything to or from one process, or everywhere, is late.
  kReorder,    // Messages overtake each other.
  kDuplicate,  // Messages arrive twice.
  kLoss,       // Messages vanish.
  // Links.
  kOneWayCut,  // One direction between two processes, or all out of or into one.
  kIsolate,    // One process is cut off from all others.
  kPartition,  // Two sides that do not hear each other.
  kCutLinks,   // Some pairs do not hear each other, while everybody else does.
  kBridge,     // Two sides that do not hear each other, and one process that both do.
  kRing,       // Each process hears its two neighbours alone.
  kSwizzle,    // Links are cut one after the other, and heal in another order.
  kSlowLink,   // One pair has little bandwidth and a long way.
  kHalfOpen,   // The connections between two processes are gone, and one side does not know.
  // Processes.
  kCrash,     // A process dies, its disk forgets what was not synced, and it comes back.
  kPause,     // A process stands still, and goes on as if nothing had been.
  kPowerCut,  // All machines go down at once, and come back.
  kDrain,     // A process is asked to end, does so in peace, and comes back.
  // Disks.
  kSlowDisk,
  kFullDisk,
  kFailingCommits,  // Some commits of one disk fail.
  kTornWrite,       // A crash in the middle of a sync: a part of its batches is on the disk.
  kSyncError,       // A sync fails; the process ends, as the real store's does.
  kBitFlip,         // A stored value is damaged.
  kAmnesia,         // A process comes back with an empty disk,
  kOldDisk,         // or with an old copy of its own.
  // Clocks.
  kClockStep,  // A wall clock jumps by up to 10 minutes.
  kClockRate,  // A clock is up to 5 % too fast or too slow.
  kCount,
};
inline constexpr int kFaultKinds = static_cast<int>(FaultKind::kCount);

// In words: "one-way cut".
std::string_view ToString(FaultKind kind);

}  // namespace annulus::sim
