#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "sim/run.h"

int main(int argc, char** argv) {
  using namespace annulus::sim;
  uint64_t first = argc > 1 ? strtoull(argv[1], nullptr, 10) : 1;
  uint64_t n = argc > 2 ? strtoull(argv[2], nullptr, 10) : 1;
  for (uint64_t s = first; s < first + n; ++s) {
    auto t0 = std::chrono::steady_clock::now();
    RunReport r = Run(s, {.keep_story = n == 1});
    double dt = std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count();
    for (auto& l : r.story) printf("%s\n", l.c_str());
    for (auto& v : r.violations) printf("VIOLATION %s\n", v.c_str());
    if (n == 1) printf("%s", r.violation_history.c_str());
    printf(
        "seed %lu ops %lu ack %lu events %lu msg %lu sim %.1fs sib %lu/%lu crash %lu lost %lu "
        "(%lu) fail %lu fwd %lu sev %lu ex %lu hash %016lx %.3fs\n",
        s, r.operations, r.acknowledged, r.events, r.messages, r.simulated_ms / 1e3, r.siblings_max,
        r.sibling_reads, r.crashes, r.crashes_that_lost, r.batches_lost, r.commits_failed,
        r.forwards_again, r.several_minters, r.exempted, r.trace_hash, dt);
  }
}
