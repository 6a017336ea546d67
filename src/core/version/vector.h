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

// A set of dots, kept as a dotted version vector (Preguiça, Baquero et al., "Dotted Version
// Vectors: Logical Clocks for Optimistic Replication", 2010; the dots beyond as in Riak's bigsets):
// per actor a base, which covers 1..base, plus the dots beyond it, as runs: a client that never
// reads what others wrote hands back a context with one hole and a long run behind it, which must
// not grow with its length. Canonically folded: equal sets are equal objects with equal encodings.
// It covers exactly the dots that were added, no more.
class VersionVector {
 public:
  VersionVector() = default;

  // Counter 0 names no write and is never covered.
  bool Covers(Dot dot) const;
  // Whether every dot of `other` is covered.
  bool Covers(const VersionVector& other) const;
  // REQUIRES: dot.counter > 0.
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
  // The bytes that EncodeTo appends.
  size_t EncodedSize() const;
  // False, and *this unspecified, unless the reader holds a canonical encoding at its front.
  bool DecodeFrom(ByteReader* reader);

  bool operator==(const VersionVector&) const = default;
  // "{9f3c...:3+{5,7-9}, ...}"
  std::string ToString() const;

 private:
  // Counters first..last, both included.
  struct Run {
    uint64_t first = 0;
    uint64_t last = 0;
    bool operator==(const Run&) const = default;
  };
  struct Entry {
    ActorId actor;
    uint64_t base = 0;
    // Ascending; between two of them, and between base and the first, at least one counter is
    // missing.
    std::vector<Run> beyond;
    bool operator==(const Entry&) const = default;

    bool Covers(uint64_t counter) const;
    bool Covers(const Entry& other) const;
    // Adds first..last. REQUIRES: 1 <= first <= last.
    void Add(Run run);
    void Remove(uint64_t counter);
  };

  // The first entry whose actor is not less.
  std::vector<Entry>::iterator Seek(ActorId actor);
  const Entry* Find(ActorId actor) const;

  std::vector<Entry> entries_;  // Ascending by actor; none is empty.
};

}  // namespace annulus
