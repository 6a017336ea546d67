#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "load/record.h"
#include "load/target.h"
#include "load/workload.h"
#include "task/loop.h"

namespace annulus::load {

struct DriverOptions {
  double rate = 0;  // Operations a second, begun when they are due (open loop); 0: as fast as goes.
  size_t clients = 64;  // Each has one operation under way, or one group.
  size_t group = 1;     // What a client begins together; it goes on when all of them have ended.
};

// Sends a workload to a target, and counts how operations end. On the loop's thread.
//
// With a rate, an operation counts from when it was due, also where no client was free then: so a
// target that stops for a second shows in the latencies of all that were due meanwhile (what is
// called coordinated omission is not omitted).
class Driver {
 public:
  using Done = absl::AnyInvocable<void()>;

  // All outlive it; it is destroyed after everything it began has ended.
  Driver(Loop* loop, Target* target, Workload* workload, DriverOptions options);
  ~Driver();

  // Writes the keys [0, keys) once, with all clients; `failed` counts those that it could not.
  void Fill(uint64_t keys, Done done);
  // Begins operations until `duration` has passed or Stop is called, and is done when all have
  // ended.
  void Run(Duration duration, Done done);
  void Stop() {
    stopped_ = true;
    Begin();
  }

  // What has ended since the last call.
  Window Take() { return std::exchange(window_, {}); }
  // Of the present or last Fill or Run.
  uint64_t begun() const { return next_; }
  uint64_t under_way() const { return under_way_; }

 private:
  struct Client {
    size_t left = 0;  // Of its group.
  };

  // All that may begin now does.
  void Begin();
  bool Exhausted() const;
  Instant DueOf(uint64_t number) const;
  void BeginGroup(size_t client);
  void BeginOne(size_t client, Instant due);
  void BeginFill(size_t client, uint64_t key);
  void FillOne(size_t client, uint64_t key, Instant due);
  void Ended(size_t client, Kind kind, Instant due, const absl::Status& status);
  void EndIfDone();

  Loop* const loop_;
  Target* const target_;
  Workload* const workload_;
  const DriverOptions options_;
  std::vector<Client> clients_;
  std::vector<size_t> free_;  // Clients with nothing under way.
  Window window_;
  Done done_;
  bool filling_ = false;
  bool stopped_ = false;
  bool beginning_ = false;
  Instant began_;
  Duration duration_{0};
  uint64_t next_ = 0;  // The number of the next operation, or the next key to fill.
  uint64_t fill_keys_ = 0;
  uint64_t under_way_ = 0;
  Loop::TimerId timer_ = 0;
};

}  // namespace annulus::load
