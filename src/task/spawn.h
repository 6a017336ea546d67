#pragma once

#include <cstddef>

#include "task/task.h"

namespace annulus {

// Counts the flows that were spawned into it and have not ended, and can abandon them: when it is
// destroyed, so are they, wherever they wait. This is how a simulated process dies, and how a real
// one ends without leaking. What a flow waits for must not resume it afterwards: Mailbox, Sleep and
// Await see to that by forgetting a waiter that is gone.
class TaskGroup {
 public:
  TaskGroup() = default;
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;
  ~TaskGroup();

  // Runs the flow until it first waits, on the stack of the caller; it goes on by itself.
  void Spawn(Task<void> task);

  size_t running() const { return running_; }

 private:
  using Flow = Task<void>::promise_type;
  friend Flow;

  void Link(Flow* flow);
  void Unlink(Flow* flow);

  internal::GroupLink head_{&head_, &head_};
  size_t running_ = 0;
};

}  // namespace annulus
