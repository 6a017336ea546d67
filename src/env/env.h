#pragma once

#include "base/random.h"
#include "env/clock.h"
#include "env/storage.h"
#include "env/transport.h"
#include "task/loop.h"

namespace annulus {

// The world as a node sees it. Real parts in adapters/, simulated ones in sim/; all outlive the
// node.
struct Env {
  Loop* loop = nullptr;
  Clock* clock = nullptr;
  Transport* transport = nullptr;
  Storage* storage = nullptr;  // Null in a coordinator, which stores nothing.
  Random* random = nullptr;    // Seeded from the operating system, or by the simulator.
};

}  // namespace annulus
