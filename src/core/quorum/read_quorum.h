#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "base/strong_id.h"
#include "core/quorum/ack_quorum.h"
#include "core/version/record.h"

namespace annulus {

// What one node said to a read.
struct ReplicaAnswer {
  bool found = false;
  std::optional<Record> record;  // Absent where only the digest was sent.
  uint64_t digest = 0;
  Epoch stamp;
  Epoch closed;             // By this owner, when it read; 0 of one that owns nothing.
  bool rebuilding = false;  // It may lack anything: its answer is merged, and counts for nothing.
};

// Decides whom a read asks, for what, when it has enough, and whom to repair. It has no socket and
// no timer:
//
//   for (Ask ask : quorum.Start()) send(ask)
//   on an answer or a failure: quorum.Answer / Fail, then send what NextAsks() says
//   on a silence that lasts:   send what Hedge() says
//   until quorum.verdict() is not kPending, then merged(), and Lacking()
//
// A node has settled once its whole record is here, or it has none, or its digest equals that of a
// whole record that is here. The first one asked sends its record whole whatever its size, the
// others only small ones; where a large one differs, it is asked again for the whole.
//
// What one node read before a round of reaping that another one has closed since is ignored: the
// owner is asked again, and what others keep of that age had been delivered (DESIGN section 6, step
// 4).
//
// Owners that have settled count toward R. Fallbacks are asked in the place of owners that do not
// answer; what they keep is merged, and counts only once every owner has settled, failed or been
// silent (DESIGN section 7).
class ReadQuorum {
 public:
  struct Ask {
    NodeId node;
    bool whole = false;  // The whole record, whatever its size.
    bool operator==(const Ask&) const = default;
  };
  // Clusters keep three to five copies: up to so many need no allocation.
  using Asks = absl::InlinedVector<Ask, 4>;
  // In the order in which they should be asked.
  struct Candidates {
    std::vector<NodeId> owners;
    std::vector<NodeId> fallbacks;  // None where the read is not sloppy.
    std::vector<NodeId> others;     // Those and all further members: they may keep hints.
  };

  // `at_least` is what the client has seen: where what R nodes hold does not cover it, everybody is
  // asked, then the owners once more (a hint may have reached them meanwhile), until what they hold
  // together does; when all have settled and none has it, it was reaped, and the answer stands.
  // REQUIRES: required >= 1.
  ReadQuorum(Item item, uint32_t required, Candidates candidates, VersionVector at_least = {});

  // `is_silent`: the owner does not answer these days; a fallback is asked at once.
  Asks Start(absl::FunctionRef<bool(NodeId)> is_silent);
  // Asks one more: an owner that was not asked, or a fallback, or one that failed again. Who has
  // not answered so far is taken for silent.
  Asks Hedge();
  // Asks one owner more, if there is one that answers these days and was not asked. Nobody is taken
  // for silent yet.
  Asks HedgeEarly();
  // What is missing for the quorum, beyond what is under way.
  Asks NextAsks();

  void Answer(NodeId node, ReplicaAnswer answer);
  void Fail(NodeId node);
  // kLost: too many failed, unless Hedge gives them another chance.
  Verdict verdict() const;
  // How many count.
  uint32_t settled() const;
  // Who was asked, has not answered and is not taken for silent.
  std::vector<NodeId> Awaited() const;
  // All that was sent whole, merged, and its stamp: the lowest of what was merged.
  const Record& merged() const { return merged_; }
  // At the end of the read.
  Record TakeMerged() { return std::move(merged_); }
  Epoch stamp() const { return stamp_; }

  // Owners that have answered with less than merged(), and those that hold just that.
  using Nodes = absl::InlinedVector<NodeId, 4>;
  Nodes Lacking() const { return OwnersThatAre(/*level=*/false); }
  Nodes Level() const { return OwnersThatAre(/*level=*/true); }

 private:
  enum class State : uint8_t { kUnasked, kAsked, kSilent, kDigest, kWhole, kFailed };
  enum class Role : uint8_t { kOwner, kFallback, kOther };
  struct Candidate {
    NodeId node;
    Role role = Role::kOwner;
    State state = State::kUnasked;
    bool unhealthy = false;  // Did not answer in the time before this read.
    bool whole = false;      // Was last asked for its whole record.
    bool rebuilding = false;
    uint32_t asks = 0;
    uint64_t digest = 0;  // Of what it holds; 0: nothing.
    Epoch stamp;
  };

  static Ask Send(Candidate* candidate, bool whole);
  Nodes OwnersThatAre(bool level) const;
  bool Settled(const Candidate& candidate) const;
  // A digest that nothing here matches is worth nothing until its record is here too.
  bool IsUnmatched(const Candidate& candidate) const;
  // How many count, or will if those that were asked answer.
  uint32_t Expected() const;
  // Answers below closed_ are forgotten, and with them all that was merged.
  void ForgetStale();
  bool ExpectsWhole() const;
  // The records of unmatched digests, as many as are needed.
  void AskForWhole(Asks* asks);
  void AskEverybody(Asks* asks);
  Candidate* NextUnasked();
  Candidate* NextUnasked(Role role, bool unhealthy);
  Candidate* Find(NodeId node);

  Item item_;
  uint32_t required_;
  absl::InlinedVector<Candidate, 3> candidates_;
  absl::InlinedVector<uint64_t, 3> whole_digests_;
  Record merged_;
  uint64_t merged_digest_ = 0;  // 0: nothing.
  Epoch stamp_;
  Epoch closed_;  // The highest that anybody said.
  VersionVector at_least_;
  bool everybody_ = false;     // Was asked, for at_least,
  bool owners_again_ = false;  // and then the owners once more.
};

}  // namespace annulus
