#include "sim/world.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/check.h"

namespace annulus::sim {

namespace {

// 2026-01-01 00:00:00 UTC: wall clocks have to start somewhere.
constexpr int64_t kWallEpochMicros = 1767225600LL * 1000 * 1000;

uint64_t Mix(uint64_t h, uint64_t v) {
  h ^= v;
  h *= 0x9fb21c651e98df25u;
  return h ^ (h >> 32);
}

int64_t RoundUpToTick(int64_t at) {
  constexpr int64_t kTick = World::kTick.count();
  return (at + kTick - 1) / kTick * kTick;
}

}  // namespace

SimLoop::SimLoop(World* world, uint16_t process, ClockSkew skew)
    : world_(world),
      process_(process),
      skew_(skew),
      started_(world->now()),
      rate_since_(world->now()),
      local_at_rate_(skew.boot) {}

Instant SimLoop::ToLocal(Instant world) const {
  const int64_t true_time = (world - rate_since_).count();
  return Instant(local_at_rate_ + Duration(true_time + true_time / 1000 * skew_.rate_ppm / 1000));
}

Instant SimLoop::ToWorld(Instant local) const {
  const int64_t local_time = (local.time_since_epoch() - local_at_rate_).count();
  if (skew_.rate_ppm == 0) return rate_since_ + Duration(local_time);
  // Near enough; then over what the integer arithmetic of ToLocal rounds away.
  const int64_t rate = 1000000 + skew_.rate_ppm;
  int64_t true_time = local_time / rate * 1000000 + local_time % rate * 1000000 / rate;
  while (ToLocal(rate_since_ + Duration(true_time)) < local) true_time += 1000;
  return rate_since_ + Duration(true_time);
}

void SimLoop::SetRate(int64_t ppm) {
  local_at_rate_ = Now().time_since_epoch();
  rate_since_ = world_->now();
  skew_.rate_ppm = ppm;
  world_->RearmAllOf(this);
}

Instant SimLoop::Now() const { return ToLocal(world_->now()); }

WallTime SimLoop::Wall() const {
  const Duration since_start = world_->now().time_since_epoch() + WallError();
  return WallTime{kWallEpochMicros + since_start.count() / 1000};
}

Duration SimLoop::WallError() const {
  const Duration local = Now().time_since_epoch() - skew_.boot;
  return local - (world_->now() - started_) + skew_.wall_offset;
}

void SimLoop::Post(Job job) { world_->At(this, world_->now(), std::move(job)); }

Loop::TimerId SimLoop::PostAt(Instant at, Job job) {
  if (at == kForever) at = ToLocal(world_->now() + 24h * 365);
  return world_->AtLocal(this, at, std::move(job));
}

void SimLoop::Cancel(TimerId timer) { world_->Cancel(timer); }

void SimLoop::AtTurnEnd(Job job) {
  if (!dead_) turn_end_.push_back(std::move(job));
}

void SimLoop::Kill() {
  dead_ = true;
  paused_ = false;
  deferred_.clear();
  // Destroying a job may run code that looks at this loop: take them out first.
  std::vector<Job> dropped = std::move(turn_end_);
  turn_end_.clear();
  dropped.clear();
  world_->ReleaseAllOf(this);
}

void SimLoop::Resume() {
  paused_ = false;
  std::vector<std::pair<uint32_t, uint32_t>> deferred = std::move(deferred_);
  deferred_.clear();
  for (const auto& [slot, generation] : deferred) {
    if (world_->slots_[slot].generation != generation) continue;
    world_->Push(world_->now().time_since_epoch().count(), slot, generation);
  }
}

World::World(uint64_t seed)
    : seed_(seed), random_(seed), trace_hash_(Mix(0x616e6e756c757321u, seed)) {
  loop_ = NewLoop(kNobody);
}

World::~World() {
  for (const std::unique_ptr<SimLoop>& loop : loops_) loop->Kill();
}

SimLoop* World::NewLoop(uint16_t process, ClockSkew skew) {
  loops_.push_back(std::unique_ptr<SimLoop>(new SimLoop(this, process, skew)));
  return loops_.back().get();
}

Loop::TimerId World::At(SimLoop* loop, Instant at, Job job) {
  if (loop->dead_) return 0;
  uint32_t slot;
  if (free_slots_.empty()) {
    slot = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  slots_[slot].job = std::move(job);
  slots_[slot].loop = loop;
  const uint32_t generation = slots_[slot].generation;
  Push(std::max(RoundUpToTick(at.time_since_epoch().count()), now_.time_since_epoch().count()),
       slot, generation);
  return (static_cast<uint64_t>(generation) << 32) | slot;
}

Loop::TimerId World::AtLocal(SimLoop* loop, Instant local, Job job) {
  const Loop::TimerId timer = At(loop, loop->ToWorld(local), std::move(job));
  if (timer != 0) slots_[static_cast<uint32_t>(timer)].local = local;
  return timer;
}

void World::RearmAllOf(SimLoop* loop) {
  for (uint32_t slot = 0; slot < slots_.size(); ++slot) {
    if (slots_[slot].loop != loop || slots_[slot].local == Instant::min()) continue;
    const Instant at = std::max(now_, loop->ToWorld(slots_[slot].local));
    Push(RoundUpToTick(at.time_since_epoch().count()), slot, slots_[slot].generation);
  }
}

void World::Cancel(Loop::TimerId timer) {
  const uint32_t slot = static_cast<uint32_t>(timer);
  if (timer == 0 || slot >= slots_.size() || slots_[slot].loop == nullptr) return;
  if (slots_[slot].generation != static_cast<uint32_t>(timer >> 32)) return;
  Job dropped = Release(slot);
}

Job World::Release(uint32_t slot) {
  Job job = std::move(slots_[slot].job);
  slots_[slot].job = nullptr;
  slots_[slot].loop = nullptr;
  slots_[slot].local = Instant::min();
  ++slots_[slot].generation;
  free_slots_.push_back(slot);
  return job;
}

void World::ReleaseAllOf(SimLoop* loop) {
  for (uint32_t slot = 0; slot < slots_.size(); ++slot) {
    if (slots_[slot].loop == loop) Job dropped = Release(slot);
  }
}

void World::Push(int64_t at, uint32_t slot, uint32_t generation) {
  const uint64_t process = slots_[slot].loop->process_;
  const Entry entry{at, (process << 48) | ++sequence_, slot, generation};
  size_t hole = heap_.size();
  heap_.push_back(entry);
  while (hole > 0) {
    const size_t parent = (hole - 1) / 4;
    if (!entry.Before(heap_[parent])) break;
    heap_[hole] = heap_[parent];
    hole = parent;
  }
  heap_[hole] = entry;
}

void World::PopTop() {
  const Entry entry = heap_.back();
  heap_.pop_back();
  const size_t size = heap_.size();
  if (size == 0) return;
  size_t hole = 0;
  for (;;) {
    const size_t first = hole * 4 + 1;
    if (first >= size) break;
    size_t least = first;
    const size_t end = std::min(first + 4, size);
    for (size_t child = first + 1; child < end; ++child) {
      if (heap_[child].Before(heap_[least])) least = child;
    }
    if (!heap_[least].Before(entry)) break;
    heap_[hole] = heap_[least];
    hole = least;
  }
  heap_[hole] = entry;
}

void World::DropStale() {
  while (!heap_.empty() && Stale(heap_.front())) PopTop();
}

bool World::Step() {
  DropStale();
  if (heap_.empty()) return false;
  const Entry entry = heap_.front();
  PopTop();
  ANNULUS_CHECK(entry.at >= now_.time_since_epoch().count());
  now_ = Instant(Duration(entry.at));
  SimLoop* loop = slots_[entry.slot].loop;
  if (loop->paused_) {
    loop->deferred_.emplace_back(entry.slot, entry.generation);
    return true;
  }
  if (slots_[entry.slot].local > loop->Now()) return true;
  ++events_;
  {
    Job job = Release(entry.slot);
    job();
  }
  EndTurn(loop);
  return true;
}

void World::EndTurn(SimLoop* loop) {
  while (!loop->turn_end_.empty()) {
    DropStale();
    const bool more = !heap_.empty() && heap_.front().at == now_.time_since_epoch().count() &&
                      slots_[heap_.front().slot].loop == loop;
    if (more) return;
    std::vector<Job> jobs = std::move(loop->turn_end_);
    loop->turn_end_.clear();
    for (Job& job : jobs) job();
  }
}

void World::RunUntil(Instant until) {
  for (;;) {
    DropStale();
    if (heap_.empty() || heap_.front().at > until.time_since_epoch().count()) break;
    Step();
  }
  now_ = std::max(now_, Instant(Duration(RoundUpToTick(until.time_since_epoch().count()))));
}

bool World::RunUntil(absl::FunctionRef<bool()> condition, Duration limit) {
  const Instant until = now_ + limit;
  while (!condition()) {
    DropStale();
    if (heap_.empty() || heap_.front().at > until.time_since_epoch().count()) return false;
    Step();
  }
  return true;
}

void World::Trace(TraceKind kind, uint64_t a, uint64_t b, uint64_t payload) {
  uint64_t h = Mix(trace_hash_, static_cast<uint64_t>(now_.time_since_epoch().count()));
  h = Mix(h, static_cast<uint64_t>(kind) | (a << 8));
  h = Mix(h, b);
  trace_hash_ = Mix(h, payload);
}

void World::Tell(std::string_view line) {
  if (!keep_story_) return;
  story_.push_back(absl::StrFormat("%10.5f  %s", ToSeconds(now_.time_since_epoch()), line));
}

}  // namespace annulus::sim
