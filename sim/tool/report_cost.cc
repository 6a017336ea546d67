#include <algorithm>
#include <cmath>
#include <cstdio>

#include "sim/cost.h"
#include "sim/tool/reports.h"

namespace annulus::sim {
namespace {

constexpr int kOperations = 1000;
// The contract: what an operation costs does not depend on the size of the cluster.
constexpr int kSmall = 5;
constexpr int kLarge = 64;
constexpr double kMost = 0.1;

double Apart(double a, double b) { return std::abs(a - b) / b; }

double Apart(const OperationCost& a, const OperationCost& b) {
  return std::max(Apart(a.messages, b.messages), Apart(a.bytes, b.bytes));
}

}  // namespace

int ReportCost(const Flags& flags) {
  std::printf("%5s  %-7s %12s %11s %12s %11s %16s\n", "nodes", "client", "messages/put",
              "bytes/put", "messages/get", "bytes/get", "gossip etc./s");
  ClusterCost small, large;
  for (const bool smart : {true, false}) {
    for (const int nodes : {3, kSmall, 16, kLarge}) {
      const ClusterCost cost = MeasureCost(nodes, smart, kOperations, flags.first_seed);
      std::printf("%5d  %-7s %12.2f %11.0f %12.2f %11.0f %16.1f\n", nodes, smart ? "smart" : "any",
                  cost.put.messages, cost.put.bytes, cost.get.messages, cost.get.bytes,
                  cost.background_messages);
      std::fflush(stdout);
      if (smart && nodes == kSmall) small = cost;
      if (smart && nodes == kLarge) large = cost;
    }
  }
  const double apart = std::max(Apart(large.put, small.put), Apart(large.get, small.get));
  std::printf("cost%s: with %d nodes, at most %.1f %% from %d nodes (at most %.0f %% is allowed)\n",
              apart <= kMost ? "" : " FAILED", kLarge, 100 * apart, kSmall, 100 * kMost);
  return apart <= kMost ? 0 : 1;
}

}  // namespace annulus::sim
