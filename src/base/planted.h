#pragma once

#include <cstdint>

namespace annulus {

// Faults that can be switched on in the shipped code, to prove that the checkers of sim/ would
// notice them (DESIGN section 13). Nothing but the simulator's Planter can set one; in any other
// process the mask is zero and stays so. Each stands where the mistake would be made, as
//   if (PlantedBugs::Has(PlantedBug::kAckBeforeSync)) ...
enum class PlantedBug : uint8_t {
  kNone,
  kAckBeforeSync,          // A replica answers before its batch is durable.
  kMergeDropsSibling,      // A merge keeps only one of two concurrent siblings.
  kMintSendsOnlyNewDot,    // The minter sends its new sibling without the rest of its record.
  kActorReusedAfterCrash,  // The mint note of an earlier incarnation is believed.
  kActorReusedAfterFailedCommit,  // A failed commit does not retire the actors of this incarnation.
  kDeleteForgetsContext,          // A delete removes the record instead of leaving a tombstone.
  kQuorumCountsTwice,             // A second answer of one node counts as another node's.
  kWriteDropsAllSiblings,         // A write replaces siblings that its context does not cover.
  kPutContextCoversAll,    // A put hands out the record's vector: it covers what nobody was shown.
  kRepeatMintsAgain,       // A request id that is already held is minted again.
  kReadAnswersFromOne,     // A read answers after the first replica, whatever R says.
  kMergeForgetsVector,     // A merge keeps its own vector and not the other's.
  kReplicaOverwrites,      // A replica stores what it is sent instead of merging it.
  kFailedMintIsApplied,    // A write whose quorum failed is reported as applied.
  kDigestIgnoresVersions,  // The digest of an item sees who minted it, not its dots and vector.
  kLeafNotInBatch,         // A change is written without its leaf.
  kAaeSkipsLeaf,           // Anti-entropy does not look at every leaf that differs.
  kRepairOverwrites,       // A repair stores what it fetched instead of merging it.
  kHintAcknowledgedEarly,  // A fallback acknowledges a hint before it is durable.
  kCountedHintDropped,     // A counted hint goes before its target has confirmed it.
  kHintLostAtRestart,      // A node forgets at its start what it keeps for others.
  kFallbackCountsAsPrimary,   // A fallback's acknowledgement is taken for an owner's.
  kReadRepairForgotten,       // A read does not make what it shows durable at R owners.
  kReadRepairNotAwaited,      // It does not wait until it is.
  kRebuildingCountsForReads,  // The answer of an owner that is rebuilding counts toward R.
  kExpiredIsShown,            // A read shows values that have expired.
  kStampIgnored,              // A record is taken whatever epoch it was read in.
  kStampRises,                // What is merged has the highest stamp of its parts.
  kNoteAccepts,               // A member that noted an epoch still takes hints of lower stamps.
  kHintsNotReported,          // It does not say that it keeps hints of lower stamps.
  kReapChanged,               // A tombstone is reaped that changed since the epoch was raised.
  kReapUnequal,               // One is that not all owners hold alike.
  kMarkWithoutClose,          // Owners mark before all have closed the lower epochs.
  kDeleteWithoutMark,         // They delete before all have marked.
  kChangeKeepsMark,           // A marked record that changed is deleted all the same.
  kMarkedIsSent,              // Anti-entropy hands marked records out.
  kStaleAnswerTaken,          // A read merges what was read before a round that has ended since.
  kServesUntold,              // A node that started answers before it was told the epochs.
  kOldDiskNotSetAside,        // An owner keeps what a disk has that others have reaped since.
  kReapKeepsActor,            // A node mints under its old name in an item that was reaped.
  kRefutationIgnored,         // A node that gossip declared dead stays dead, whatever it says.
  kRestartNotNoticed,         // What gossip says of a node stays what its earlier life said.
  kContextCoversOwnDotsOnly,  // A write does not replace what other actors minted: siblings pile
                              // up.
  kVectorPruned,              // A wide vector forgets what it has seen, as some stores' clocks do.
  kLimitCutsMerges,           // The limit of siblings binds merges, too: what is beyond it is lost.
  kRefusalCounts,             // A write counts the nodes that refuse it.
  kUnknownIsNotApplied,       // A write that a silent node may have applied is said not to be.
  kAtLeastIgnored,            // A read does not care what the client has seen.
  kStrictReadCountsFallbacks,  // sloppy=false asks fallbacks all the same.
  kDigestNotCompared,          // Any digest counts as an equal record.
  kFailedReadIsEmpty,          // An owner that cannot answer is taken for one that has nothing.
  kScanSkipsRest,              // A page that ends within a partition goes on in the next one.
  kCount,
};

namespace sim {
class Planter;
}

class PlantedBugs {
 public:
  static bool Has(PlantedBug bug) { return planted_ == bug; }

 private:
  friend class sim::Planter;
  static inline PlantedBug planted_ = PlantedBug::kNone;
};

}  // namespace annulus
