#pragma once

#include <deque>
#include <utility>

#include "adapters/faults/delay_line.h"
#include "adapters/faults/fault_plane.h"
#include "env/storage.h"

namespace annulus {

// A Storage whose commits the plane delays or refuses. Their order stays.
class FaultyStorage final : public StorageWrapper {
 public:
  // All outlive it.
  FaultyStorage(Storage* inner, Loop* loop, FaultPlane* plane)
      : StorageWrapper(inner), loop_(loop), plane_(plane), line_(loop) {}

  void Commit(StorageBatch batch, CommitDone done) override;

 private:
  struct Held {
    StorageBatch batch;
    CommitDone done;
    Instant at;
  };
  void Release();

  Loop* loop_;
  FaultPlane* plane_;
  std::deque<Held> held_;  // Ascending by `at`; a timer waits for the first.
  DelayLine line_;
};

}  // namespace annulus
