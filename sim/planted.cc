#include "sim/planted.h"

namespace annulus::sim {

std::string_view ToString(PlantedBug bug) {
  switch (bug) {
    case PlantedBug::kNone:
      return "none";
    case PlantedBug::kAckBeforeSync:
      return "ack before sync";
    case PlantedBug::kMergeDropsSibling:
      return "merge drops sibling";
    case PlantedBug::kMintSendsOnlyNewDot:
      return "mint sends only new dot";
    case PlantedBug::kActorReusedAfterCrash:
      return "actor reused after crash";
    case PlantedBug::kActorReusedAfterFailedCommit:
      return "actor reused after failed commit";
    case PlantedBug::kDeleteForgetsContext:
      return "delete forgets context";
    case PlantedBug::kQuorumCountsTwice:
      return "quorum counts twice";
    case PlantedBug::kWriteDropsAllSiblings:
      return "write drops all siblings";
    case PlantedBug::kPutContextCoversAll:
      return "put context covers all";
    case PlantedBug::kRepeatMintsAgain:
      return "repeat mints again";
    case PlantedBug::kReadAnswersFromOne:
      return "read answers from one";
    case PlantedBug::kMergeForgetsVector:
      return "merge forgets vector";
    case PlantedBug::kReplicaOverwrites:
      return "replica overwrites";
    case PlantedBug::kFailedMintIsApplied:
      return "failed mint is applied";
    case PlantedBug::kHintAcknowledgedEarly:
      return "hint acknowledged early";
    case PlantedBug::kCountedHintDropped:
      return "counted hint dropped";
    case PlantedBug::kHintLostAtRestart:
      return "hint lost at restart";
    case PlantedBug::kFallbackCountsAsPrimary:
      return "fallback counts as primary";
    case PlantedBug::kReadRepairForgotten:
      return "read repair forgotten";
    case PlantedBug::kReadRepairNotAwaited:
      return "read repair not awaited";
    case PlantedBug::kRebuildingCountsForReads:
      return "rebuilding counts for reads";
    case PlantedBug::kDigestIgnoresVersions:
      return "digest ignores versions";
    case PlantedBug::kLeafNotInBatch:
      return "leaf not in batch";
    case PlantedBug::kAaeSkipsLeaf:
      return "aae skips leaf";
    case PlantedBug::kRepairOverwrites:
      return "repair overwrites";
    case PlantedBug::kExpiredIsShown:
      return "expired is shown";
    case PlantedBug::kStampIgnored:
      return "stamp ignored";
    case PlantedBug::kStampRises:
      return "stamp rises";
    case PlantedBug::kNoteAccepts:
      return "note accepts";
    case PlantedBug::kHintsNotReported:
      return "hints not reported";
    case PlantedBug::kReapChanged:
      return "reap changed";
    case PlantedBug::kReapUnequal:
      return "reap unequal";
    case PlantedBug::kMarkWithoutClose:
      return "mark without close";
    case PlantedBug::kDeleteWithoutMark:
      return "delete without mark";
    case PlantedBug::kChangeKeepsMark:
      return "change keeps mark";
    case PlantedBug::kMarkedIsSent:
      return "marked is sent";
    case PlantedBug::kStaleAnswerTaken:
      return "stale answer taken";
    case PlantedBug::kServesUntold:
      return "serves untold";
    case PlantedBug::kOldDiskNotSetAside:
      return "old disk not set aside";
    case PlantedBug::kReapKeepsActor:
      return "reap keeps actor";
    case PlantedBug::kRefutationIgnored:
      return "refutation ignored";
    case PlantedBug::kRestartNotNoticed:
      return "restart not noticed";
    case PlantedBug::kContextCoversOwnDotsOnly:
      return "context covers own dots only";
    case PlantedBug::kVectorPruned:
      return "vector pruned";
    case PlantedBug::kLimitCutsMerges:
      return "limit cuts merges";
    case PlantedBug::kRefusalCounts:
      return "refusal counts";
    case PlantedBug::kUnknownIsNotApplied:
      return "unknown is not applied";
    case PlantedBug::kAtLeastIgnored:
      return "at_least ignored";
    case PlantedBug::kStrictReadCountsFallbacks:
      return "strict read counts fallbacks";
    case PlantedBug::kDigestNotCompared:
      return "digest not compared";
    case PlantedBug::kFailedReadIsEmpty:
      return "failed read is empty";
    case PlantedBug::kScanSkipsRest:
      return "scan skips rest";
    case PlantedBug::kCount:
      break;
  }
  return "?";
}

std::vector<PlantedBug> AllPlantedBugs() {
  std::vector<PlantedBug> bugs;
  for (int bug = 1; bug < static_cast<int>(PlantedBug::kCount); ++bug) {
    bugs.push_back(static_cast<PlantedBug>(bug));
  }
  return bugs;
}

std::optional<PlantedBug> PlantedBugOf(std::string_view name) {
  for (const PlantedBug bug : AllPlantedBugs()) {
    if (ToString(bug) == name) return bug;
  }
  return std::nullopt;
}

}  // namespace annulus::sim
