#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "base/strong_id.h"
#include "core/error.h"
#include "core/quorum/ack_quorum.h"

namespace annulus {

// Decides whom a write is sent to, and when enough nodes hold it durably. It has no socket and no
// timer:
//
//   for (Send send : quorum.Start(...)) send(send)
//   on an answer:              quorum.Ack, or send what Refuse() says
//   on a silence that lasts:   send what Silence(...) says
//   until quorum.verdict() is not kPending
//
// There is one seat for each owner. While its owner does not answer, a fallback takes the seat, and
// after that one's silence the next (DESIGN section 7, sloppy). Whoever sat down stays: each
// distinct node that holds the write durably counts, an owner as a primary, another as a fallback.
// Without fallbacks it counts owners alone.
class WriteQuorum {
 public:
  struct Send {
    NodeId node;
    NodeId hint_for;  // The owner in whose place; 0: it is an owner.
    bool operator==(const Send&) const = default;
  };

  // Clusters keep three to five copies: up to so many need no allocation.
  using Sends = absl::InlinedVector<Send, 4>;

  // The minter holds the write already: it is sent nothing. `minter_for` is the owner in whose
  // place it minted, 0 where it is an owner. REQUIRES: required >= 1; no fallback is an owner or
  // the minter.
  WriteQuorum(uint32_t required, const std::vector<NodeId>& owners, std::vector<NodeId> fallbacks,
              NodeId minter, NodeId minter_for);

  // To every owner, and at once to a fallback in the place of one that does not answer these days.
  Sends Start(absl::FunctionRef<bool(NodeId)> is_silent);
  // Fallbacks for the seats where nobody has said yes, and whose last holder may be replaced.
  Sends Silence(absl::FunctionRef<bool(NodeId)> may_replace);

  // Each node counts once, whatever it says again; a yes after a no counts, since a node may be
  // asked again. Nodes that hold no seat are ignored.
  void Ack(NodeId node);
  // Returns whom to ask in its place.
  Sends Refuse(NodeId node);

  // kLost: too few are left that could say yes, unless they say it after a no.
  Verdict verdict() const;
  Acks acks() const;
  // Whether the owner, or a fallback in its place, has said yes.
  bool IsCovered(NodeId owner) const;

 private:
  enum class State : uint8_t { kAsked, kAcked, kRefused };
  struct Holder {
    NodeId node;
    State state = State::kAsked;
  };
  // The owner first, then who took the seat in its place.
  using Seat = absl::InlinedVector<Holder, 2>;

  Holder* Find(NodeId node, Seat** seat = nullptr);
  static bool HasAck(const Seat& seat);
  void SitDown(Seat* seat, Sends* sends);

  uint32_t required_;
  NodeId minter_;
  absl::InlinedVector<Seat, 3> seats_;
  std::vector<NodeId> fallbacks_;
  size_t next_fallback_ = 0;
  uint32_t counted_twice_ = 0;  // A planted bug's.
};

}  // namespace annulus
