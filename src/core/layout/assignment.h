#pragma once

#include <cstdint>
#include <vector>

namespace annulus {

// Which nodes get each partition. Nodes and zones are indices from 0.
struct AssignmentProblem {
  uint32_t partitions = 0;
  uint32_t places = 0;            // Nodes that each partition needs.
  std::vector<uint32_t> zone_of;  // By node.
  // By partition: the nodes that may get it. Empty: any node may get any partition.
  std::vector<std::vector<uint32_t>> allowed;
  // By partition: the nodes that get it for nothing; any other is a move. Empty: there are none.
  std::vector<std::vector<uint32_t>> preferred;
};

// `places` distinct nodes for each partition, ascending. It is best, in this order, by
// 1. distinct zones in each partition; where there are too few, zones repeat as evenly as their
// sizes
//    allow;
// 2. an even number of partitions per node (the least sum of squares);
// 3. the fewest moves.
// Exact, and the same for the same problem.
// REQUIRES: places <= nodes; where `allowed` is given, each node is a zone of its own and each
// partition is allowed at least `places` nodes.
std::vector<std::vector<uint32_t>> Assign(const AssignmentProblem& problem);

}  // namespace annulus
