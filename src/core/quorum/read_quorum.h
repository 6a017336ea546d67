#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/strong_id.h"
#include "core/quorum/ack_quorum.h"
#include "core/version/record.h"

namespace annulus {

// What one replica said to a read.
struct ReplicaAnswer {
  bool found = false;
  std::optional<Record> record;  // Absent where only the digest was sent.
  uint64_t digest = 0;
  Epoch epoch;
};

// Decides whom a read asks, for what, and when it has enough. It has no socket and no timer:
//
//   for (Ask ask : quorum.Start()) send(ask)
//   on an answer or a failure: quorum.Answer / Fail, then send what NextAsks() says
//   on a silence that lasts:   send what Hedge() says
//   until quorum.verdict() is not kPending, then merged()
//
// A replica counts once it is settled: its whole record is here, or it has none, or its digest
// equals that of a whole record that is here. The first one asked sends its record whole whatever
// its size, the others only small ones; where a large one differs, it is asked again for the whole.
class ReadQuorum {
 public:
  struct Ask {
    NodeId node;
    bool whole = false;  // The whole record, whatever its size.
    bool operator==(const Ask&) const = default;
  };

  // Candidates in the order in which they should be asked. `at_least` is what the client has seen:
  // where `required` replicas do not cover it, all are asked until what they hold together does;
  // when all have settled and none has it, it was reaped, and the answer stands. REQUIRES: required
  // >= 1.
  ReadQuorum(Item item, uint32_t required, std::vector<NodeId> candidates,
             VersionVector at_least = {});

  std::vector<Ask> Start();
  // Asks one more than needed, if there is one; the unasked in their order, then the failed again.
  std::vector<Ask> Hedge();
  // What is missing for the quorum, beyond what is under way.
  std::vector<Ask> NextAsks();

  void Answer(NodeId node, ReplicaAnswer answer);
  void Fail(NodeId node);
  // kLost: too many failed, unless Hedge gives them another chance.
  Verdict verdict() const;
  uint32_t settled() const;
  // All that was sent whole, merged.
  const Record& merged() const { return merged_; }

 private:
  enum class State : uint8_t { kUnasked, kAsked, kDigest, kWhole, kFailed };
  struct Candidate {
    NodeId node;
    State state = State::kUnasked;
    bool whole = false;  // Was last asked for its whole record.
    uint64_t digest = 0;
  };

  static Ask Send(Candidate* candidate, bool whole);
  bool Settled(const Candidate& candidate) const;
  // How many must settle, as things stand.
  uint32_t Needed() const;
  Candidate* Find(NodeId node);

  Item item_;
  uint32_t required_;
  std::vector<Candidate> candidates_;
  std::vector<uint64_t> whole_digests_;
  Record merged_;
  VersionVector at_least_;
};

}  // namespace annulus
