#include "sim/cuts.h"

#include <algorithm>
#include <numeric>

namespace annulus::sim {

namespace {

template <class T>
void Shuffle(Random* random, std::vector<T>* things) {
  for (size_t i = things->size(); i > 1; --i) {
    std::swap((*things)[i - 1], (*things)[random->Below(i)]);
  }
}

std::vector<int> ShuffledProcesses(Random* random, int processes) {
  std::vector<int> order(processes);
  std::iota(order.begin(), order.end(), 1);
  Shuffle(random, &order);
  return order;
}

void CutLink(Cuts* cuts, int a, int b) {
  cuts->emplace_back(a, b);
  cuts->emplace_back(b, a);
}

}  // namespace

Cuts CutOneWay(int process, int other, bool outward, int processes) {
  Cuts cuts;
  for (int i = 1; i <= processes; ++i) {
    if (i == process || (other != 0 && i != other)) continue;
    cuts.emplace_back(outward ? process : i, outward ? i : process);
  }
  return cuts;
}

Cuts CutBetween(const std::vector<int>& side, int processes) {
  auto inside = [&](int i) { return std::find(side.begin(), side.end(), i) != side.end(); };
  Cuts cuts;
  for (int a = 1; a <= processes; ++a) {
    for (int b = a + 1; b <= processes; ++b) {
      if (inside(a) != inside(b)) CutLink(&cuts, a, b);
    }
  }
  return cuts;
}

Cuts CutPairs(Random* random, int processes) {
  Cuts all;
  for (int a = 1; a <= processes; ++a) {
    for (int b = a + 1; b <= processes; ++b) CutLink(&all, a, b);
  }
  Cuts cuts = Shuffled(random, all);
  const size_t links = cuts.size() / 2;
  cuts.resize(2 * (1 + random->Below(std::max<size_t>(1, links / 2))));
  return cuts;
}

Cuts CutBridge(Random* random, int processes) {
  std::vector<int> order = ShuffledProcesses(random, processes);
  if (processes >= 3) order.pop_back();  // The bridge.
  const size_t left = 1 + random->Below(order.size() - 1);
  Cuts cuts;
  for (size_t a = 0; a < left; ++a) {
    for (size_t b = left; b < order.size(); ++b) CutLink(&cuts, order[a], order[b]);
  }
  return cuts;
}

Cuts CutRing(Random* random, int processes) {
  const std::vector<int> order = ShuffledProcesses(random, processes);
  Cuts cuts;
  for (int a = 0; a < processes; ++a) {
    for (int b = a + 2; b < processes; ++b) {
      if (a == 0 && b == processes - 1) continue;
      CutLink(&cuts, order[a], order[b]);
    }
  }
  return cuts;
}

Cuts Shuffled(Random* random, const Cuts& links) {
  std::vector<size_t> order(links.size() / 2);
  std::iota(order.begin(), order.end(), 0);
  Shuffle(random, &order);
  Cuts shuffled;
  for (const size_t link : order) {
    shuffled.push_back(links[2 * link]);
    shuffled.push_back(links[2 * link + 1]);
  }
  return shuffled;
}

}  // namespace annulus::sim
