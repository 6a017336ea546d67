#pragma once

#include <optional>

#include "adapters/faults/fault_plane.h"
#include "adapters/faults/faulty_storage.h"
#include "adapters/faults/faulty_transport.h"
#include "env/env.h"

namespace annulus {

// A Clock that the plane skews.
class FaultyClock final : public Clock {
 public:
  FaultyClock(const Clock* inner, const FaultPlane* plane) : inner_(inner), plane_(plane) {}
  WallTime Wall() const override {
    return {inner_->Wall().micros + plane_->clock().skew / std::chrono::microseconds(1)};
  }

 private:
  const Clock* inner_;
  const FaultPlane* plane_;
};

// The whole fault plane around an Env.
class FaultyEnv {
 public:
  // What `inner` points to outlives it.
  FaultyEnv(const Env& inner, MessageSizes sizes)
      : inner_(inner),
        plane_(inner.loop, inner.random->Fork()),
        clock_(inner.clock, &plane_),
        transport_(inner.transport, inner.loop, &plane_, sizes) {
    if (inner.storage != nullptr) storage_.emplace(inner.storage, inner.loop, &plane_);
  }

  Env env() {
    Env outer = inner_;
    outer.clock = &clock_;
    outer.transport = &transport_;
    if (storage_.has_value()) outer.storage = &*storage_;
    return outer;
  }
  FaultPlane* plane() { return &plane_; }
  // Before the node goes away: no held request reaches it any more.
  void StopServing() { transport_.StopServing(); }

 private:
  const Env inner_;
  FaultPlane plane_;
  FaultyClock clock_;
  FaultyTransport transport_;
  std::optional<FaultyStorage> storage_;
};

}  // namespace annulus
