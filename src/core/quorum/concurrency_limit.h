#pragma once

#include <cstddef>

#include "base/time.h"

namespace annulus {

// How many operations at once are of use. Beyond what a process, its disk and its peers can do at a
// time, more of them are served no faster: each only waits longer, until its client has given it
// up. Such a standing queue shows in the quickest operation of a while (as in CoDel, Nichols and
// Jacobson 2012: a slow peer or a large value makes some slow, a queue all of them). The limit then
// falls to what was under way, in proportion to what was too much (as in TCP Vegas, Brakmo and
// Peterson 1995), and grows again while all of it is used and nothing waits.
//
// What is too slow follows from what operations take while few are under way: a cluster that is far
// away is not an overloaded one.
class ConcurrencyLimit {
 public:
  struct Options {
    size_t least = 256;  // So few are always let in, and are few in the sense above.
    size_t most = 4096;
    size_t at_first = 1024;
    // What the quickest of a while may take: twice what it takes while few are under way, within
    // these.
    Duration delay_least = 150ms;
    Duration delay_most = 1s;
  };

  explicit ConcurrencyLimit(Options options);

  // Of so many that are under way, one has just begun.
  void Began(size_t under_way, Instant now);
  // One of so many was served, so long after it had begun.
  void Served(size_t under_way, Duration took, Instant now);

  size_t limit() const { return limit_; }
  // What the quickest of a while may take now.
  Duration delay_max() const;

 private:
  // Judges a while that is over, and begins the next.
  void Look(Instant now);
  void Judge(Duration quickest);

  Options options_;
  size_t limit_;
  Duration unhurried_{0};  // What operations take while few are under way; 0: not known yet.

  // Of this while.
  bool begun_ = false;
  Instant begin_;
  Duration length_;
  size_t peak_ = 0;  // Most under way.
  size_t served_ = 0;
  Duration quickest_{0};  // Of those that were served.
};

}  // namespace annulus
