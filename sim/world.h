#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "base/bytes.h"
#include "base/random.h"
#include "base/time.h"
#include "env/clock.h"
#include "task/loop.h"

namespace annulus::sim {

class World;

// What goes into the trace hash. Numbers are part of every hash ever printed: add at the end.
enum class TraceKind : uint8_t {
  kMessage,       // A request or a reply reached a process.
  kMessageLost,   // The network lost one.
  kConnection,    // A connection came to stand, or was lost.
  kDisk,          // A group of batches became durable, or a batch failed.
  kDiskLost,      // A crash forgot batches.
  kClientCall,    // A client's operation reached its process.
  kClientAnswer,  // Its answer reached the client.
  kFault,         // A fault began or ended.
  kProcess,       // A process started, was ready, crashed, paused or went on.
};

// A process's two clocks, as they differ from the world's. The monotonic one begins anywhere at
// each start, so that an instant of one process means nothing to another. Rates and steps are
// faults.
struct ClockSkew {
  Duration boot{0};         // What the monotonic clock shows at the start of the process.
  int64_t rate_ppm = 0;     // Faster than true time, in millionths.
  Duration wall_offset{0};  // How far the wall clock is ahead.
};

// The loop of one simulated process: a facade over the world's queue. What it has queued vanishes
// when the process is killed, waits while it is paused, and runs in turns: everything of one
// process that is ready at one tick of the clock, then the jobs that asked for the turn's end.
class SimLoop final : public Loop, public Clock {
 public:
  SimLoop(const SimLoop&) = delete;
  SimLoop& operator=(const SimLoop&) = delete;

  Instant Now() const override;
  void Post(Job job) override;
  TimerId PostAt(Instant at, Job job) override;
  void Cancel(TimerId timer) override;
  void AtTurnEnd(Job job) override;

  WallTime Wall() const override;
  void StepWall(Duration by) { skew_.wall_offset += by; }
  // Faster than true time, in millionths, from now on. Timers keep to their instants: none runs
  // before its own.
  void SetRate(int64_t ppm);
  int64_t rate_ppm() const { return skew_.rate_ppm; }
  // How far the wall clock is ahead of true time.
  Duration WallError() const;

  // Between this process's monotonic clock and the world's. ToWorld rounds up: a job that runs at
  // ToWorld(t) finds Now() >= t.
  Instant ToLocal(Instant world) const;
  Instant ToWorld(Instant local) const;

  // Nothing that was queued runs any more, and nothing can be queued. For ever.
  void Kill();
  bool dead() const { return dead_; }
  // Everything waits, arrivals too, until Resume.
  void Pause() { paused_ = true; }
  void Resume();
  bool paused() const { return paused_; }

  uint16_t process() const { return process_; }
  World* world() const { return world_; }

 private:
  friend class World;
  SimLoop(World* world, uint16_t process, ClockSkew skew);

  World* world_;
  uint16_t process_;
  ClockSkew skew_;
  Instant started_;            // World time.
  Instant rate_since_;         // World time from which rate_ppm holds,
  Duration local_at_rate_{0};  // and what the monotonic clock showed then.
  bool dead_ = false;
  bool paused_ = false;
  std::vector<Job> turn_end_;
  std::vector<std::pair<uint32_t, uint32_t>> deferred_;  // (slot, generation), in order.
};

// One universe: a virtual clock and a queue of events, one thread, one seed. Events run in the
// order of (time, process, sequence), and time moves in ticks, so that what reaches a process
// within one tick falls into one turn of its loop, as it does when a real loop was busy meanwhile.
class World {
 public:
  static constexpr Duration kTick = 10us;
  // Process 0 is the world itself (faults, schedules) and goes first in each tick.
  static constexpr uint16_t kNobody = 0;

  explicit World(uint64_t seed);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  uint64_t seed() const { return seed_; }
  // Since the start of the world, in true time.
  Instant now() const { return now_; }
  // For drawing at set-up; parts fork their own from it.
  Random& random() { return random_; }

  // A loop for a new incarnation of the process. The world owns it; dead ones stay addressable.
  SimLoop* NewLoop(uint16_t process, ClockSkew skew = {});
  // The loop of process 0, which never dies.
  SimLoop* loop() { return loop_; }

  // The job runs on `loop` at the first tick not before `at` (in true time).
  Loop::TimerId At(SimLoop* loop, Instant at, Job job);
  Loop::TimerId After(SimLoop* loop, Duration delay, Job job) {
    return At(loop, now_ + delay, std::move(job));
  }
  void Cancel(Loop::TimerId timer);

  // Runs one event. False where there is none.
  bool Step();
  // Runs what is due until then; the clock ends there.
  void RunUntil(Instant until);
  void RunFor(Duration duration) { RunUntil(now_ + duration); }
  // Until the condition holds. False where it does not within `limit`.
  bool RunUntil(absl::FunctionRef<bool()> condition, Duration limit);

  void Trace(TraceKind kind, uint64_t a, uint64_t b = 0, uint64_t payload = 0);
  uint64_t trace_hash() const { return trace_hash_; }
  uint64_t events() const { return events_; }

  // The story: lines for people, kept only where asked for.
  void KeepStory() { keep_story_ = true; }
  bool keeps_story() const { return keep_story_; }
  void Tell(std::string_view line);
  const std::vector<std::string>& story() const { return story_; }

 private:
  friend class SimLoop;

  struct Slot {
    Job job;
    SimLoop* loop = nullptr;  // Null: free.
    uint32_t generation = 1;
    // Of a timer: the loop's own instant, before which it does not run. An entry that comes earlier
    // is one from before the clock's rate changed: another stands for it.
    Instant local = Instant::min();
  };
  struct Entry {
    int64_t at;
    uint64_t order;  // Process in the top 16 bits, then the sequence.
    uint32_t slot;
    uint32_t generation;
    bool Before(const Entry& other) const {
      return at != other.at ? at < other.at : order < other.order;
    }
  };

  void Push(int64_t at, uint32_t slot, uint32_t generation);
  void PopTop();
  void DropStale();
  bool Stale(const Entry& entry) const { return slots_[entry.slot].generation != entry.generation; }
  Job Release(uint32_t slot);
  void ReleaseAllOf(SimLoop* loop);
  Loop::TimerId AtLocal(SimLoop* loop, Instant local, Job job);
  // The loop's clock has another rate: its timers are due at other true times.
  void RearmAllOf(SimLoop* loop);
  void EndTurn(SimLoop* loop);

  uint64_t seed_;
  Random random_;
  Instant now_{};
  uint64_t sequence_ = 0;
  uint64_t events_ = 0;
  uint64_t trace_hash_;
  std::vector<Entry> heap_;  // Four children a node; may hold entries whose job was cancelled.
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  std::vector<std::unique_ptr<SimLoop>> loops_;
  SimLoop* loop_;
  bool keep_story_ = false;
  std::vector<std::string> story_;
};

}  // namespace annulus::sim
