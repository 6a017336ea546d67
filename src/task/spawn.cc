#include "task/spawn.h"

#include <coroutine>
#include <utility>

namespace annulus {

void Task<void>::promise_type::LeaveGroup() { group->Unlink(this); }

TaskGroup::~TaskGroup() {
  while (head_.next != &head_) {
    std::coroutine_handle<Flow>::from_promise(*static_cast<Flow*>(head_.next)).destroy();
  }
}

void TaskGroup::Spawn(Task<void> task) {
  const std::coroutine_handle<Flow> flow = std::exchange(task.handle_, nullptr);
  flow.promise().group = this;
  Link(&flow.promise());
  flow.resume();
}

void TaskGroup::Link(Flow* flow) {
  flow->previous = head_.previous;
  flow->next = &head_;
  head_.previous->next = flow;
  head_.previous = flow;
  ++running_;
}

void TaskGroup::Unlink(Flow* flow) {
  flow->previous->next = flow->next;
  flow->next->previous = flow->previous;
  --running_;
}

}  // namespace annulus
