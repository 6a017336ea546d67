#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/strong_id.h"

namespace annulus {

// The name of one write: the counter-th that this actor minted in this item. Counters start at 1.
struct Dot {
  ActorId actor;
  uint64_t counter = 0;
  auto operator<=>(const Dot&) const = default;
};

// "9f3c...:4"
std::string ToString(Dot dot);

// A set of dots, kept as a dotted version vector (Preguiça, Baquero et al., "Dotted Version Vectors:
// Logical Clocks for Optimistic Replication", 2010; the dots beyond as in Riak's bigsets): per actor a
// base, which covers 1..base, plus single dots beyond it. Canonically folded: equal sets are equal
// objects with equal encodings. It covers exactly the dots that were added, no more.
class VersionVector {
 public:
  VersionVector() = default;

  bool Covers(Dot dot) const;
  // Whether every dot of `other` is covered.
  bool Covers(const VersionVector& other) const;
  void Add(Dot dot);
  // Takes a single dot out again, which may leave dots beyond a lower base.
  void Remove(Dot dot);
  // The union.
  void Merge(const VersionVector& other);
  // The highest counter of this actor, 0 where there is none.
  uint64_t MaxCounter(ActorId actor) const;

  bool empty() const { return entries_.empty(); }
  // Actors: the width that is watched, since nothing prunes it (DESIGN section 6).
  size_t width() const { return entries_.size(); }

  void EncodeTo(Bytes* out) const;
  // False, and *this unspecified, unless the reader holds a canonical encoding at its front.
  bool DecodeFrom(ByteReader* reader);

  bool operator==(const VersionVector&) const = default;
  // "{9f3c...:3+{5,7}, ...}"
  std::string ToString() const;

 private:
  struct Entry {
    ActorId actor;
    uint64_t base = 0;
    std::vector<uint64_t> beyond;  // Ascending; the first is at least base + 2.
    bool operator==(const Entry&) const = default;
  };

  Entry* Find(ActorId actor);
  const Entry* Find(ActorId actor) const;
  static void Fold(Entry* entry);

  std::vector<Entry> entries_;  // Ascending by actor; none is empty.
};

}  // namespace annulus
