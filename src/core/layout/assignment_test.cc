#include "core/layout/assignment.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <limits>
#include <tuple>
#include <vector>

namespace annulus {
namespace {

using Assignment = std::vector<std::vector<uint32_t>>;
// Zones (the least sum of squares is the most even), evenness, moves.
using Cost = std::tuple<uint32_t, uint32_t, uint32_t>;

Cost CostOf(const AssignmentProblem& problem, const Assignment& assignment) {
  uint32_t zones = 0, evenness = 0, moves = 0;
  std::vector<uint32_t> loads(problem.zone_of.size());
  for (size_t p = 0; p < assignment.size(); ++p) {
    std::vector<uint32_t> in_zone(problem.zone_of.size());
    for (uint32_t node : assignment[p]) {
      ++loads[node];
      ++in_zone[problem.zone_of[node]];
      if (problem.preferred.empty()) continue;
      const auto& preferred = problem.preferred[p];
      moves += std::find(preferred.begin(), preferred.end(), node) == preferred.end();
    }
    for (uint32_t count : in_zone) zones += count * count;
  }
  for (uint32_t load : loads) evenness += load * load;
  return {zones, evenness, moves};
}

// Tries everything.
void TryAll(const AssignmentProblem& problem, Assignment* assignment, Cost* least) {
  if (assignment->size() == problem.partitions) {
    *least = std::min(*least, CostOf(problem, *assignment));
    return;
  }
  const uint32_t nodes = static_cast<uint32_t>(problem.zone_of.size());
  for (uint32_t set = 0; set < (1u << nodes); ++set) {
    if (static_cast<uint32_t>(__builtin_popcount(set)) != problem.places) continue;
    std::vector<uint32_t> chosen;
    for (uint32_t node = 0; node < nodes; ++node) {
      if ((set >> node & 1) != 0) chosen.push_back(node);
    }
    if (!problem.allowed.empty()) {
      const auto& allowed = problem.allowed[assignment->size()];
      if (!std::all_of(chosen.begin(), chosen.end(), [&](uint32_t node) {
            return std::find(allowed.begin(), allowed.end(), node) != allowed.end();
          })) {
        continue;
      }
    }
    assignment->push_back(chosen);
    TryAll(problem, assignment, least);
    assignment->pop_back();
  }
}

Cost LeastCostOf(const AssignmentProblem& problem) {
  constexpr uint32_t kMax = std::numeric_limits<uint32_t>::max();
  Assignment assignment;
  Cost least{kMax, kMax, kMax};
  TryAll(problem, &assignment, &least);
  return least;
}

std::vector<uint32_t> AnySubset(uint32_t nodes, uint32_t at_least) {
  std::vector<uint32_t> subset;
  for (uint32_t node = 0; node < nodes; ++node) {
    const uint32_t left = nodes - node - 1;
    if (*rc::gen::arbitrary<bool>() || subset.size() + left < at_least) subset.push_back(node);
  }
  return subset;
}

RC_GTEST_PROP(Assignment, NoneIsBetter, ()) {
  AssignmentProblem problem;
  const uint32_t nodes = *rc::gen::inRange(1, 6);
  problem.partitions = *rc::gen::inRange(1, 5);
  problem.places = *rc::gen::inRange<uint32_t>(1, std::min(nodes, 3u) + 1);
  for (uint32_t node = 0; node < nodes; ++node) {
    problem.zone_of.push_back(*rc::gen::inRange<uint32_t>(0, nodes));
  }
  for (uint32_t p = 0; p < problem.partitions; ++p) {
    problem.preferred.push_back(AnySubset(nodes, 0));
  }
  RC_ASSERT(CostOf(problem, Assign(problem)) == LeastCostOf(problem));
}

RC_GTEST_PROP(Assignment, NoneIsBetterAmongThoseAllowed, ()) {
  AssignmentProblem problem;
  const uint32_t nodes = *rc::gen::inRange(1, 6);
  problem.partitions = *rc::gen::inRange(1, 6);
  problem.places = 1;
  for (uint32_t node = 0; node < nodes; ++node) problem.zone_of.push_back(node);
  for (uint32_t p = 0; p < problem.partitions; ++p) {
    problem.allowed.push_back(AnySubset(nodes, 1));
    problem.preferred.push_back(AnySubset(nodes, 0));
  }
  RC_ASSERT(CostOf(problem, Assign(problem)) == LeastCostOf(problem));
}

}  // namespace
}  // namespace annulus
