#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "absl/strings/str_format.h"

namespace annulus {

// An integer that is not interchangeable with any other: a NodeId never takes a PartitionId.
// Ordered, hashable by Abseil, and printed as 16 hex digits (identities) or decimal (ordinals).
template <class Tag, class Rep = uint64_t>
class StrongId {
 public:
  using rep = Rep;

  constexpr StrongId() = default;
  constexpr explicit StrongId(Rep value) : value_(value) {}

  constexpr Rep value() const { return value_; }
  constexpr auto operator<=>(const StrongId&) const = default;

  template <class H>
  friend H AbslHashValue(H h, StrongId id) {
    return H::combine(std::move(h), id.value_);
  }

 private:
  Rep value_ = 0;
};

// The durable identity of a storage node, drawn once for a data directory. 0 is no node.
using NodeId = StrongId<struct NodeIdTag>;
// 64 random bits that a process draws at every start; two never share a name.
using Incarnation = StrongId<struct IncarnationTag>;
// The name under which a node mints dots in one item (DESIGN section 1).
using ActorId = StrongId<struct ActorIdTag>;
// An index in [0, Q).
using PartitionId = StrongId<struct PartitionIdTag, uint32_t>;
// Layouts are numbered from 1; 0 is "no layout yet".
using LayoutVersion = StrongId<struct LayoutVersionTag>;
// A partition's reaping epoch (DESIGN section 6), from 1.
using Epoch = StrongId<struct EpochTag>;

template <class Tag, class Rep>
std::string ToHex(StrongId<Tag, Rep> id) {
  return absl::StrFormat("%016x", static_cast<uint64_t>(id.value()));
}

}  // namespace annulus
