#include "task/spawn.h"

namespace annulus {

// The coroutine around a spawned flow: it owns the flow's frame, is linked into the group while it
// runs, and frees itself at its end.
struct TaskGroup::Root {
  struct promise_type : Node {
    explicit promise_type(TaskGroup* group, Task<void>&) : group(group) { group->Link(this); }
    ~promise_type() { group->Unlink(this); }
    Root get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() noexcept { std::terminate(); }

    TaskGroup* group;
  };

  static Root Run(TaskGroup*, Task<void> task) { co_await task; }
};

TaskGroup::~TaskGroup() {
  while (head_.next != &head_) {
    auto* promise = static_cast<Root::promise_type*>(head_.next);
    std::coroutine_handle<Root::promise_type>::from_promise(*promise).destroy();
  }
}

void TaskGroup::Spawn(Task<void> task) { Root::Run(this, std::move(task)); }

void TaskGroup::Link(Node* node) {
  node->previous = head_.previous;
  node->next = &head_;
  head_.previous->next = node;
  head_.previous = node;
  ++running_;
}

void TaskGroup::Unlink(Node* node) {
  node->previous->next = node->next;
  node->next->previous = node->previous;
  --running_;
}

}  // namespace annulus
