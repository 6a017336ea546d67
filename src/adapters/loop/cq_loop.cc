#include "adapters/loop/cq_loop.h"

#include <grpc/support/time.h>
#include <grpcpp/alarm.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "base/check.h"

namespace annulus {
namespace {

// One turn takes no more events than this, so that flushes and timers are never starved.
constexpr int kEventsPerTurn = 1024;
// Jobs that post jobs, and turn-end jobs that ask for another turn end, get so many rounds in one
// turn.
constexpr int kRoundsPerTurn = 8;
constexpr size_t kDeadTimersMin = 1024;

thread_local const CqLoop* current_loop = nullptr;

gpr_timespec ToTimespec(Instant at) {
  if (at == kForever) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  const int64_t nanos = at.time_since_epoch().count();
  gpr_timespec result;
  result.tv_sec = nanos / 1'000'000'000;
  result.tv_nsec = static_cast<int32_t>(nanos % 1'000'000'000);
  result.clock_type = GPR_CLOCK_MONOTONIC;
  return result;
}

}  // namespace

// A server queue that no builder made: both servers of a process share it (see server.h).
class CqLoop::Queue final : public grpc::ServerCompletionQueue {};

// Wakes the loop from another thread. Set to the infinite past it fires at once, on the thread that
// sets it; set to now it would wait for the next millisecond of gRPC's timer thread.
struct CqLoop::Wake final : CqTag {
  explicit Wake(CqLoop* loop) : loop(loop) {}
  void Proceed(bool) override {
    std::lock_guard<std::mutex> lock(loop->mutex_);
    loop->wake_pending_ = false;
  }
  void Set() { alarm.Set(loop->queue_.get(), gpr_inf_past(GPR_CLOCK_MONOTONIC), tag()); }

  CqLoop* loop;
  grpc::Alarm alarm;
};

CqLoop::CqLoop() : queue_(std::make_unique<Queue>()), wake_(std::make_unique<Wake>(this)) {}

CqLoop::~CqLoop() {
  const CqLoop* outer = std::exchange(current_loop, this);
  queue_->Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_->Next(&tag, &ok)) static_cast<CqTag*>(tag)->Proceed(ok);
  // Jobs that never ran are destroyed here, while the members that their destructors may use stand.
  turn_end_.clear();
  local_.clear();
  {
    std::vector<Job> posted;
    std::lock_guard<std::mutex> lock(mutex_);
    posted.swap(posted_);
  }
  for (Slot& slot : slots_) slot.job = nullptr;
  current_loop = outer;
}

grpc::ServerCompletionQueue* CqLoop::queue() { return queue_.get(); }

bool CqLoop::OnOwnThread() const { return current_loop == this; }

Instant CqLoop::Now() const { return OnOwnThread() ? now_ : Clock(); }

Instant CqLoop::Clock() {
  return Instant(
      std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
}

void CqLoop::Post(Job job) {
  if (OnOwnThread()) {
    local_.push_back(std::move(job));
    return;
  }
  bool wake = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    posted_.push_back(std::move(job));
    wake = asleep_ && !wake_pending_;
    if (wake) wake_pending_ = true;
  }
  if (wake) wake_->Set();
}

void CqLoop::Stop() {
  Post([this] {
    std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
  });
}

CqLoop::TimerId CqLoop::PostAt(Instant at, Job job) {
  uint32_t index;
  if (free_slots_.empty()) {
    index = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    index = free_slots_.back();
    free_slots_.pop_back();
  }
  Slot& slot = slots_[index];
  slot.live = true;
  slot.job = std::move(job);
  heap_.push_back({at, next_order_++, index, slot.generation});
  std::push_heap(heap_.begin(), heap_.end(), Later());
  return (static_cast<TimerId>(slot.generation) << 32) | index;
}

void CqLoop::Cancel(TimerId timer) {
  const auto index = static_cast<uint32_t>(timer);
  const auto generation = static_cast<uint32_t>(timer >> 32);
  if (index >= slots_.size()) return;
  Slot& slot = slots_[index];
  if (!slot.live || slot.generation != generation) return;
  Job job = std::move(slot.job);  // Its destructor may set or cancel timers.
  FreeSlot(index);
  ++dead_;
  if (dead_ > kDeadTimersMin && dead_ > heap_.size() / 2) Compact();
}

void CqLoop::AtTurnEnd(Job job) { turn_end_.push_back(std::move(job)); }

void CqLoop::Run() {
  ANNULUS_CHECK(current_loop == nullptr);
  current_loop = this;
  now_ = Clock();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = false;  // By an earlier Run's end; a Stop that comes now is a job still.
  }
  for (;;) {
    Turn();
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_) break;
  }
  current_loop = nullptr;
}

void CqLoop::Turn() {
  ++turns_;
  Instant wait_until = NextTimer();
  if (wait_until != kForever) wait_until += wait_slack_;
  bool may_sleep = local_.empty() && turn_end_.empty();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!posted_.empty()) may_sleep = false;
    asleep_ = may_sleep;
  }

  void* tag = nullptr;
  bool ok = false;
  const gpr_timespec past = gpr_inf_past(GPR_CLOCK_MONOTONIC);
  auto status = queue_->AsyncNext(&tag, &ok, may_sleep ? ToTimespec(wait_until) : past);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    asleep_ = false;
  }
  now_ = Clock();
  if (may_sleep && status == grpc::CompletionQueue::TIMEOUT && now_ < wait_until) {
    wait_slack_ = std::min<Duration>(wait_slack_ + 250us, 2ms);
  } else {
    wait_slack_ = Duration{0};
  }
  for (int events = 0; status == grpc::CompletionQueue::GOT_EVENT;) {
    static_cast<CqTag*>(tag)->Proceed(ok);
    if (++events == kEventsPerTurn) break;
    status = queue_->AsyncNext(&tag, &ok, past);
    now_ = Clock();
  }

  RunTimers();
  RunPosted();
  RunTurnEnd();
}

bool CqLoop::Live(const Due& due) const {
  return slots_[due.slot].live && slots_[due.slot].generation == due.generation;
}

void CqLoop::PopHeap() {
  std::pop_heap(heap_.begin(), heap_.end(), Later());
  heap_.pop_back();
}

void CqLoop::FreeSlot(uint32_t index) {
  Slot& slot = slots_[index];
  slot.live = false;
  slot.job = nullptr;
  if (++slot.generation == 0) slot.generation = 1;  // So that no TimerId is 0.
  free_slots_.push_back(index);
}

void CqLoop::Compact() {
  std::erase_if(heap_, [this](const Due& due) { return !Live(due); });
  std::make_heap(heap_.begin(), heap_.end(), Later());
  dead_ = 0;
}

Instant CqLoop::NextTimer() {
  while (!heap_.empty() && !Live(heap_.front())) {
    PopHeap();
    --dead_;
  }
  return heap_.empty() ? kForever : heap_.front().at;
}

void CqLoop::RunTimers() {
  if (heap_.empty()) return;
  const Instant now = Clock();
  now_ = now;
  // A timer that a job sets for now or earlier waits for the next turn.
  const uint64_t orders_end = next_order_;
  while (NextTimer() <= now && !heap_.empty()) {
    const Due due = heap_.front();
    if (due.order >= orders_end) break;
    PopHeap();
    Job job = std::move(slots_[due.slot].job);
    FreeSlot(due.slot);
    job();
  }
}

void CqLoop::RunPosted() {
  for (int round = 0; round < kRoundsPerTurn; ++round) {
    ANNULUS_CHECK(running_.empty());
    {
      std::lock_guard<std::mutex> lock(mutex_);
      running_.swap(posted_);
    }
    now_ = Clock();
    for (Job& job : running_) job();
    running_.clear();
    if (local_.empty()) return;
    running_.swap(local_);
    for (Job& job : running_) job();
    running_.clear();
    if (local_.empty()) return;
  }
}

void CqLoop::RunTurnEnd() {
  for (int round = 0; round < kRoundsPerTurn && !turn_end_.empty(); ++round) {
    running_.swap(turn_end_);
    now_ = Clock();
    for (Job& job : running_) job();
    running_.clear();
  }
}

}  // namespace annulus
