#pragma once

#include <grpcpp/completion_queue.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "task/loop.h"

namespace annulus {

// What every operation on the loop's queue is started with, instead of a bare void*.
class CqTag {
 public:
  // The operation has ended. `ok` means what gRPC's CompletionQueue::Next says for its kind.
  virtual void Proceed(bool ok) = 0;

  // What gRPC takes and gives back.
  void* tag() { return this; }

 protected:
  ~CqTag() = default;
};

// A tag that calls a member: `MemberTag<Stream, &Stream::OnRead> on_read_{this}`.
template <class Owner, void (Owner::*Method)(bool)>
class MemberTag final : public CqTag {
 public:
  explicit MemberTag(Owner* owner) : owner_(owner) {}
  void Proceed(bool ok) override { (owner_->*Method)(ok); }

 private:
  Owner* owner_;
};

// The real Loop: a gRPC completion queue, and everything of the process on the thread that runs it.
//
// A turn: sleep until an event or the next timer; take every event that is ready, up to a bound, so
// that the end of the turn is reached under any load; run due timers and posted jobs; run the jobs
// that asked for the turn's end.
//
// Timers are no sharper than gRPC's poller, which counts whole milliseconds and rounds up: they
// fire up to about a millisecond late, and never early by Now().
class CqLoop final : public Loop {
 public:
  CqLoop();
  // REQUIRES: Run has returned, and whoever has an operation on the queue has started its end
  // (servers are shut down, calls cancelled). Waits for those and hands each to its tag.
  ~CqLoop() override;
  CqLoop(const CqLoop&) = delete;
  CqLoop& operator=(const CqLoop&) = delete;

  // On the loop's thread: when the present event began.
  Instant Now() const override;
  void Post(Job job) override;
  TimerId PostAt(Instant at, Job job) override;
  void Cancel(TimerId timer) override;
  void AtTurnEnd(Job job) override;

  // Turns until Stop. The thread that calls it is the loop's. May be called again.
  void Run();
  // Run returns at the end of its present turn. From any thread.
  void Stop();

  // For servers and calls. Every tag on it is a CqTag.
  grpc::ServerCompletionQueue* queue();

  // Turns so far; on the loop's thread.
  uint64_t turns() const { return turns_; }

 private:
  class Queue;
  struct Wake;

  // Timers: a heap of (when, slot); a slot holds the job, and its generation tells a timer that is
  // gone from the next one in the same slot. A cancelled timer stays in the heap as a dead entry
  // until it comes up, or until most entries are dead.
  struct Slot {
    uint32_t generation = 1;
    bool live = false;
    Job job;
  };
  struct Due {
    Instant at;
    uint64_t order;  // Timers of one instant fire in the order in which they were set.
    uint32_t slot;
    uint32_t generation;
  };
  struct Later {
    bool operator()(const Due& a, const Due& b) const {
      return a.at != b.at ? a.at > b.at : a.order > b.order;
    }
  };

  static Instant Clock();
  bool OnOwnThread() const;
  void Turn();
  // The next moment at which there is something to do without an event; kForever if there is none.
  Instant NextTimer();
  void RunTimers();
  void RunPosted();
  void RunTurnEnd();
  bool Live(const Due& due) const;
  void PopHeap();
  void FreeSlot(uint32_t index);
  void Compact();

  std::unique_ptr<Queue> queue_;
  // As the event, or the round of jobs, that runs now began: flows ask often, the clock is slow,
  // and in the simulator it stands still for as long.
  Instant now_;

  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  std::vector<Due> heap_;
  size_t dead_ = 0;
  uint64_t next_order_ = 0;
  // Added to the wait after the poller came back early by our clock, so that it cannot spin.
  Duration wait_slack_{0};

  std::vector<Job> local_;  // Posted by this thread.
  std::vector<Job> turn_end_;
  std::vector<Job> running_;  // Reused by the two.
  uint64_t turns_ = 0;

  std::unique_ptr<Wake> wake_;
  std::mutex mutex_;
  // Below: guarded by mutex_.
  std::vector<Job> posted_;  // By other threads.
  bool asleep_ = false;      // The loop may not look at posted_ again without an event.
  bool wake_pending_ = false;
  bool stopped_ = false;
};

}  // namespace annulus
