#pragma once

#include <cstdint>

namespace annulus::sim {

// What client operations cost between nodes, where nothing fails: questions and answers, and about
// how many bytes they have, for each put or get. What goes on beside them (gossip, anti-entropy) is
// counted apart.
struct OperationCost {
  double messages = 0;
  double bytes = 0;
};
struct ClusterCost {
  OperationCost put;
  OperationCost get;
  double background_messages = 0;  // For each node and second.
};

// Measured with `operations` puts of 100 bytes and as many gets, at QUORUM, 3 copies. `smart`: each
// goes to the first owner of its key, as clients send them that know the layout; else to the nodes
// in turn.
ClusterCost MeasureCost(int nodes, bool smart, int operations, uint64_t seed);

}  // namespace annulus::sim
