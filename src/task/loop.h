#pragma once

#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "base/time.h"

namespace annulus {

using Job = absl::AnyInvocable<void()>;

// The one thread on which everything of a process happens, in turns: a turn runs every event that
// is ready (arrivals, replies, timers, posted jobs), then the jobs that asked for its end. That end
// is where the group commit and each peer stream are flushed once, which is what makes batches
// form.
//
// Real: a gRPC completion queue (adapters/grpc). In sim/: a queue of events on a virtual clock.
// REQUIRES, for all but Post: called on the loop's own thread.
class Loop {
 public:
  using TimerId = uint64_t;

  virtual ~Loop() = default;

  virtual Instant Now() const = 0;
  // Runs the job in this turn or a later one. The only call that any thread may make.
  virtual void Post(Job job) = 0;
  // Runs the job once, not before `at`.
  virtual TimerId PostAt(Instant at, Job job) = 0;
  // The job will not run; it is destroyed here. Nothing happens where it has run already.
  virtual void Cancel(TimerId timer) = 0;
  // Runs the job once, when this turn has run all that was ready.
  virtual void AtTurnEnd(Job job) = 0;
};

}  // namespace annulus
