#include "sim/shrink.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace annulus::sim {

namespace {

// No run has more of them (sim/run.cc).
constexpr int kClients = 16;
constexpr int kOperations = 1300;
constexpr int kKeys = 24;

}  // namespace

Shrinker::Shrinker(RunOptions options, Fails fails)
    : options_(std::move(options)), fails_(std::move(fails)) {
  ANNULUS_CHECK(fails_(options_, &report_));
}

RunOptions Shrinker::Shrink(int runs_max) {
  runs_max_ = runs_max;
  bool progress = true;
  while (progress && runs_ < runs_max_) {
    // Operations first: few clients on few items need more of them.
    progress = ShrinkNumber(&RunOptions::operations_max, kOperations);
    progress |= ShrinkKinds();
    progress |= ShrinkEpisodes();
    progress |= ShrinkNumber(&RunOptions::clients_max, kClients);
    progress |= ShrinkNumber(&RunOptions::keys_max, kKeys);
  }
  // Episodes that are named need no kinds.
  RunOptions shorter = options_;
  shorter.without = 0;
  Try(shorter);
  return options_;
}

bool Shrinker::Try(const RunOptions& smaller) {
  if (runs_ >= runs_max_) return false;
  ++runs_;
  RunReport report;
  if (!fails_(smaller, &report)) return false;
  options_ = smaller;
  report_ = std::move(report);
  return true;
}

bool Shrinker::ShrinkKinds() {
  bool progress = false;
  for (int kind = 0; kind < kFaultKinds; ++kind) {
    if (report_.faults[kind] == 0) continue;
    RunOptions smaller = options_;
    smaller.without |= 1u << kind;
    progress |= Try(smaller);
  }
  return progress;
}

bool Shrinker::ShrinkEpisodes() {
  RunOptions named = options_;
  named.only_episodes = report_.episodes;
  Try(named);
  bool progress = false;
  for (size_t part = std::max<size_t>(1, report_.episodes.size()); part > 0; part /= 2) {
    size_t begin = 0;
    while (begin < report_.episodes.size()) {
      std::vector<uint64_t> rest = report_.episodes;
      const auto from = rest.begin() + static_cast<std::ptrdiff_t>(begin);
      rest.erase(from, from + static_cast<std::ptrdiff_t>(std::min(part, rest.size() - begin)));
      RunOptions smaller = options_;
      smaller.only_episodes = std::move(rest);
      if (Try(smaller)) {
        progress = true;
      } else {
        begin += part;
      }
    }
  }
  return progress;
}

bool Shrinker::ShrinkNumber(int RunOptions::*limit, int start) {
  const int now = options_.*limit == 0 ? start : options_.*limit;
  // From the smallest on: what is found first is what stays.
  for (int tried = 1; tried < now; tried = std::max(tried + 1, tried * 3 / 2)) {
    RunOptions smaller = options_;
    smaller.*limit = tried;
    if (Try(smaller)) return true;
  }
  return false;
}

}  // namespace annulus::sim
