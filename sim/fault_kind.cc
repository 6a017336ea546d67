#include "sim/fault_kind.h"

namespace annulus::sim {

std::string_view ToString(FaultKind kind) {
  switch (kind) {
    case FaultKind::kDelay:
      return "delay";
    case FaultKind::kReorder:
      return "reorder";
    case FaultKind::kDuplicate:
      return "duplicate";
    case FaultKind::kLoss:
      return "loss";
    case FaultKind::kOneWayCut:
      return "one-way cut";
    case FaultKind::kIsolate:
      return "isolate";
    case FaultKind::kPartition:
      return "partition";
    case FaultKind::kCutLinks:
      return "cut links";
    case FaultKind::kBridge:
      return "bridge";
    case FaultKind::kRing:
      return "ring";
    case FaultKind::kSwizzle:
      return "swizzle";
    case FaultKind::kSlowLink:
      return "slow link";
    case FaultKind::kHalfOpen:
      return "half-open connection";
    case FaultKind::kCrash:
      return "crash";
    case FaultKind::kPause:
      return "pause";
    case FaultKind::kPowerCut:
      return "power cut";
    case FaultKind::kDrain:
      return "drain";
    case FaultKind::kSlowDisk:
      return "slow disk";
    case FaultKind::kFullDisk:
      return "full disk";
    case FaultKind::kFailingCommits:
      return "failing commits";
    case FaultKind::kTornWrite:
      return "torn write";
    case FaultKind::kSyncError:
      return "sync error";
    case FaultKind::kBitFlip:
      return "bit flip";
    case FaultKind::kAmnesia:
      return "amnesia";
    case FaultKind::kOldDisk:
      return "old disk";
    case FaultKind::kClockStep:
      return "clock step";
    case FaultKind::kClockRate:
      return "clock rate";
    case FaultKind::kCount:
      break;
  }
  return "?";
}

}  // namespace annulus::sim
