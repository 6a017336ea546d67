#include "core/layout/assignment.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

#include "base/check.h"

namespace annulus {
namespace {

// The problem is a flow of minimum cost,
//
//   source -> partition -> (partition, zone) -> node -> sink
//   `places`               1 each below the      1        the k-th unit costs
//    units                 level, then 1 more,            k, for evenness;
//                          which costs                    1 for a move
//
// solved by successive shortest paths: units are sent one by one, each along the cheapest path of
// the residual graph, in which a path may take back what earlier units did. After each unit the
// flow is one of least cost for the units sent so far, so the last one is what is sought.
//
// A path through the residual graph alternates between nodes and partitions: node a hands partition
// p to node b. There are few nodes and many partitions, so the search runs on the nodes alone, with
// the cheapest partition that a can hand to b as the arc between them. Counters say how many
// partitions a can hand to b at each of the nine prices there are; they change only with the
// partitions that do.
//
// A shortest path with the fewest arcs hands no partition on twice in a way that would break a
// zone's capacity: where two arcs need the same vertex of the full graph, going straight from the
// first to the second is no dearer (no cycle costs less than nothing) and shorter. Hence the price
// of an arc.
class Flow {
 public:
  explicit Flow(const AssignmentProblem& problem);

  std::vector<std::vector<uint32_t>> Run();

 private:
  // The price of handing a partition on: what it does to zones (-1, 0, 1), then to moves (-1, 0,
  // 1). In the order of their costs.
  using Price = uint8_t;
  static constexpr Price kPrices = 9;
  static constexpr Price kNone = kPrices;  // It cannot be handed on.
  static constexpr int64_t kUnreached = std::numeric_limits<int64_t>::max();
  static constexpr uint32_t kNobody = std::numeric_limits<uint32_t>::max();

  static Price MakePrice(int zones, int moves) {
    return static_cast<Price>((zones + 1) * 3 + moves + 1);
  }

  // One node hands a partition to another.
  struct Hop {
    uint32_t from;
    uint32_t to;
    uint32_t partition;
  };

  void FindLevels(uint32_t places);
  Price PriceOf(uint32_t p, uint32_t from, uint32_t to) const;
  Price EntryPriceOf(uint32_t p, uint32_t to) const;
  void Count(uint32_t p, bool add);
  void Send(uint32_t p);
  uint32_t FindPath(uint32_t p);
  uint32_t FindPartition(uint32_t from, uint32_t to, Price price) const;
  void Take(uint32_t p, uint32_t node);
  void Give(uint32_t p, uint32_t node);

  const std::vector<uint32_t>& Candidates(uint32_t p) const {
    return problem_.allowed.empty() ? everyone_ : problem_.allowed[p];
  }
  bool Holds(uint32_t p, uint32_t node) const { return holds_[size_t{p} * nodes_ + node] != 0; }
  bool Prefers(uint32_t p, uint32_t node) const { return prefers_[size_t{p} * nodes_ + node] != 0; }
  uint32_t InZone(uint32_t p, uint32_t zone) const { return in_zone_[size_t{p} * zones_ + zone]; }

  const AssignmentProblem& problem_;
  const uint32_t nodes_;
  uint32_t zones_ = 0;
  std::vector<uint32_t> everyone_;
  std::vector<uint32_t> zone_free_;  // By zone: units of a partition that cost nothing,
  std::vector<uint32_t> zone_max_;   // and those it can take at all: the same or one more.
  std::array<int64_t, kPrices> cost_of_;
  int64_t evenness_cost_ = 0;

  std::vector<std::vector<uint32_t>> holders_;  // By partition.
  std::vector<uint8_t> holds_, prefers_;        // By partition and node.
  std::vector<uint8_t> in_zone_;                // By partition and zone.
  std::vector<uint32_t> loads_;                 // By node.
  // By node and node: how many partitions can be handed on, at each price, and the best price.
  std::vector<std::array<uint32_t, kPrices>> counts_;
  std::vector<Price> best_;
  // Of the search: the cost of reaching a node, and from which.
  std::vector<int64_t> distance_;
  std::vector<uint32_t> parent_;
};

// SplitMix64's finaliser. Among equally good choices it picks one that looks random but is not, so
// that the partitions of one node are spread over many others, which then share its load when it
// fails.
uint64_t Scatter(uint64_t a, uint64_t b) {
  uint64_t z = a * 0x9e3779b97f4a7c15u + b + 1;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

Flow::Flow(const AssignmentProblem& problem)
    : problem_(problem),
      nodes_(static_cast<uint32_t>(problem.zone_of.size())),
      everyone_(nodes_),
      holders_(problem.partitions),
      holds_(size_t{problem.partitions} * nodes_),
      prefers_(holds_.size()),
      loads_(nodes_),
      counts_(size_t{nodes_} * nodes_),
      best_(counts_.size(), kNone),
      distance_(nodes_),
      parent_(nodes_) {
  std::iota(everyone_.begin(), everyone_.end(), 0);
  for (uint32_t zone : problem.zone_of) zones_ = std::max(zones_, zone + 1);
  in_zone_.resize(size_t{problem.partitions} * zones_);
  FindLevels(problem.places);
  for (size_t p = 0; p < problem.preferred.size(); ++p) {
    for (uint32_t node : problem.preferred[p]) prefers_[p * nodes_ + node] = 1;
  }

  // Each weight is more than all that the ones below it can sum up to on one path. Comparing paths
  // is all that the algorithm does, so the totals need not fit.
  const int64_t arcs_max = int64_t{nodes_} + 2;
  const int64_t move_cost = 2 * arcs_max;
  evenness_cost_ = 2 * arcs_max * move_cost;
  const int64_t zone_cost = 2 * (int64_t{problem.partitions} + 1) * evenness_cost_;
  ANNULUS_CHECK(zone_cost < std::numeric_limits<int64_t>::max() / (4 * arcs_max));
  for (int zones = -1; zones <= 1; ++zones) {
    for (int moves = -1; moves <= 1; ++moves) {
      // 1 for the arc itself: the fewest arcs among the cheapest paths.
      cost_of_[MakePrice(zones, moves)] = zones * zone_cost + moves * move_cost + 1;
    }
  }
}

// With zones filled as evenly as their sizes allow, the fullest take this many units of a
// partition; the last unit of each of those is what a partition may not need from all of them.
void Flow::FindLevels(uint32_t places) {
  std::vector<uint32_t> sizes(zones_);
  for (uint32_t zone : problem_.zone_of) ++sizes[zone];
  uint32_t level = 0;
  uint32_t room = 0;
  while (room < places) {
    ++level;
    room = 0;
    for (uint32_t size : sizes) room += std::min(size, level);
    ANNULUS_CHECK(level <= nodes_);
  }
  for (uint32_t size : sizes) {
    zone_max_.push_back(std::min(size, level));
    zone_free_.push_back(std::min(size, level - 1));
  }
}

Flow::Price Flow::PriceOf(uint32_t p, uint32_t from, uint32_t to) const {
  const uint32_t from_zone = problem_.zone_of[from];
  const uint32_t to_zone = problem_.zone_of[to];
  int zones = 0;
  if (from_zone != to_zone) {
    const uint32_t there = InZone(p, to_zone);
    if (there >= zone_max_[to_zone]) return kNone;
    zones = static_cast<int>(there >= zone_free_[to_zone]) -
            static_cast<int>(InZone(p, from_zone) > zone_free_[from_zone]);
  }
  return MakePrice(zones, static_cast<int>(Prefers(p, from)) - static_cast<int>(Prefers(p, to)));
}

Flow::Price Flow::EntryPriceOf(uint32_t p, uint32_t to) const {
  const uint32_t zone = problem_.zone_of[to];
  const uint32_t there = InZone(p, zone);
  if (Holds(p, to) || there >= zone_max_[zone]) return kNone;
  return MakePrice(there >= zone_free_[zone] ? 1 : 0, Prefers(p, to) ? 0 : 1);
}

// Adds or takes away what this partition gives to the arcs between nodes.
void Flow::Count(uint32_t p, bool add) {
  for (uint32_t from : holders_[p]) {
    for (uint32_t to : Candidates(p)) {
      if (Holds(p, to)) continue;
      const Price price = PriceOf(p, from, to);
      if (price == kNone) continue;
      auto& counts = counts_[size_t{from} * nodes_ + to];
      Price& best = best_[size_t{from} * nodes_ + to];
      if (add) {
        ++counts[price];
        best = std::min(best, price);
      } else {
        ANNULUS_CHECK(counts[price] > 0);
        --counts[price];
        while (best < kNone && counts[best] == 0) ++best;
      }
    }
  }
}

void Flow::Take(uint32_t p, uint32_t node) {
  ANNULUS_CHECK(!Holds(p, node));
  holds_[size_t{p} * nodes_ + node] = 1;
  holders_[p].push_back(node);
  const uint32_t zone = problem_.zone_of[node];
  ++in_zone_[size_t{p} * zones_ + zone];
  ++loads_[node];
}

void Flow::Give(uint32_t p, uint32_t node) {
  ANNULUS_CHECK(Holds(p, node));
  holds_[size_t{p} * nodes_ + node] = 0;
  std::erase(holders_[p], node);
  --in_zone_[size_t{p} * zones_ + problem_.zone_of[node]];
  --loads_[node];
}

// The node at which the cheapest path for one more unit of this partition ends (Bellman-Ford; there
// is no cycle that costs less than nothing). The path is in parent_.
uint32_t Flow::FindPath(uint32_t p) {
  std::fill(distance_.begin(), distance_.end(), kUnreached);
  std::fill(parent_.begin(), parent_.end(), kNobody);
  std::vector<uint32_t> changed;
  for (uint32_t node : Candidates(p)) {
    const Price price = EntryPriceOf(p, node);
    if (price == kNone) continue;
    distance_[node] = cost_of_[price];
    changed.push_back(node);
  }
  for (uint32_t round = 0; !changed.empty(); ++round) {
    ANNULUS_CHECK(round <= nodes_);
    std::vector<uint8_t> next(nodes_);
    for (uint32_t from : changed) {
      const Price* best = &best_[size_t{from} * nodes_];
      for (uint32_t to = 0; to < nodes_; ++to) {
        if (best[to] == kNone) continue;
        const int64_t distance = distance_[from] + cost_of_[best[to]];
        if (distance >= distance_[to]) continue;
        distance_[to] = distance;
        parent_[to] = from;
        next[to] = 1;
      }
    }
    changed.clear();
    for (uint32_t node = 0; node < nodes_; ++node) {
      if (next[node] != 0) changed.push_back(node);
    }
  }

  uint32_t end = kNobody;
  int64_t least = kUnreached;
  for (uint32_t node = 0; node < nodes_; ++node) {
    if (distance_[node] == kUnreached) continue;
    const int64_t cost = distance_[node] + evenness_cost_ * loads_[node];
    if (cost < least || (cost == least && Scatter(p, node) < Scatter(p, end))) {
      least = cost;
      end = node;
    }
  }
  ANNULUS_CHECK(end != kNobody);
  return end;
}

uint32_t Flow::FindPartition(uint32_t from, uint32_t to, Price price) const {
  const uint32_t start = static_cast<uint32_t>(Scatter(from, to) % problem_.partitions);
  for (uint32_t i = 0; i < problem_.partitions; ++i) {
    const uint32_t p = (start + i) % problem_.partitions;
    if (!Holds(p, from) || Holds(p, to)) continue;
    if (!problem_.allowed.empty() &&
        std::find(Candidates(p).begin(), Candidates(p).end(), to) == Candidates(p).end()) {
      continue;
    }
    if (PriceOf(p, from, to) == price) return p;
  }
  ANNULUS_CHECK(false);
}

void Flow::Send(uint32_t p) {
  uint32_t node = FindPath(p);
  std::vector<Hop> hops;
  std::vector<uint32_t> touched = {p};
  for (; parent_[node] != kNobody; node = parent_[node]) {
    const uint32_t from = parent_[node];
    const uint32_t handed = FindPartition(from, node, best_[size_t{from} * nodes_ + node]);
    hops.push_back(Hop{from, node, handed});
    touched.push_back(handed);
    ANNULUS_CHECK(hops.size() < nodes_);
  }
  std::sort(touched.begin(), touched.end());
  touched.erase(std::unique(touched.begin(), touched.end()), touched.end());

  for (uint32_t t : touched) Count(t, /*add=*/false);
  for (const Hop& hop : hops) {
    Give(hop.partition, hop.from);
    Take(hop.partition, hop.to);
  }
  Take(p, node);
  for (uint32_t t : touched) {
    for (uint32_t zone = 0; zone < zones_; ++zone)
      ANNULUS_CHECK(InZone(t, zone) <= zone_max_[zone]);
    Count(t, /*add=*/true);
  }
}

std::vector<std::vector<uint32_t>> Flow::Run() {
  for (uint32_t p = 0; p < problem_.partitions; ++p) {
    for (uint32_t place = 0; place < problem_.places; ++place) Send(p);
  }
  for (auto& holders : holders_) std::sort(holders.begin(), holders.end());
  return std::move(holders_);
}

}  // namespace

std::vector<std::vector<uint32_t>> Assign(const AssignmentProblem& problem) {
  ANNULUS_CHECK(problem.places <= problem.zone_of.size());
  ANNULUS_CHECK(problem.allowed.empty() || problem.allowed.size() == problem.partitions);
  ANNULUS_CHECK(problem.preferred.empty() || problem.preferred.size() == problem.partitions);
  return Flow(problem).Run();
}

}  // namespace annulus
