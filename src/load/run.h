#pragma once

#include <functional>

#include "adapters/loop/cq_loop.h"
#include "load/driver.h"
#include "nlohmann/json.hpp"

namespace annulus::load {

struct RunOptions {
  uint64_t fill_keys = 0;  // Written once before the run.
  Duration warm_up{0};     // The same load, not counted.
  Duration duration{30s};
  bool json = false;
};

struct RunResult {
  bool filled = true;  // Else some keys could not be written, and nothing was run.
  Window total;
  double seconds = 0;
};

// Drives the loop until the load has run, on this thread: fills, warms up, runs, and shows each
// second as a row, or with `json` as a line, on standard output. `interrupted` is asked now and
// then; what is under way then still ends.
RunResult RunLoad(CqLoop* loop, Driver* driver, const RunOptions& options,
                  const std::function<bool()>& interrupted);

// Latencies in microseconds.
nlohmann::ordered_json ToJson(const Window& window, double seconds);
// The totals, for people.
void Print(const Window& total, double seconds);

}  // namespace annulus::load
