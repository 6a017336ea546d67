#include "sim/cost.h"

#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "sim/cluster.h"
#include "sim/sim_net.h"
#include "sim/world.h"

namespace annulus::sim {
namespace {

constexpr uint32_t kPartitions = 256;
constexpr size_t kValueBytes = 100;

// Counts what is said for clients, and what is said besides.
class Meter : public NetWatcher {
 public:
  struct Sum {
    uint64_t messages = 0;
    uint64_t bytes = 0;
  };

  void OnCall(uint16_t, uint64_t, const PeerRequest& request) override {
    Add(IsForClients(request), GistOf(request).bytes);
  }
  void OnAnswer(uint16_t, uint16_t, uint64_t, const PeerResult& answer) override {
    if (!answer.ok()) return;
    Add(IsForClients(*answer), GistOf(answer).bytes);
  }

  // Since the last call.
  Sum TakeForClients() { return std::exchange(for_clients_, {}); }
  Sum TakeBackground() { return std::exchange(background_, {}); }

 private:
  static bool IsForClients(const PeerRequest& request) {
    return std::holds_alternative<ReadRequest>(request) ||
           std::holds_alternative<ReplicateRequest>(request) ||
           std::holds_alternative<ForwardRequest>(request);
  }
  static bool IsForClients(const PeerReply& reply) {
    return std::holds_alternative<ReadReply>(reply) ||
           std::holds_alternative<ReplicateReply>(reply) ||
           std::holds_alternative<ForwardReply>(reply);
  }
  void Add(bool for_clients, uint64_t bytes) {
    Sum& sum = for_clients ? for_clients_ : background_;
    ++sum.messages;
    sum.bytes += bytes;
  }

  Sum for_clients_;
  Sum background_;
};

OperationCost Per(const Meter::Sum& sum, int operations) {
  return {static_cast<double>(sum.messages) / operations,
          static_cast<double>(sum.bytes) / operations};
}

}  // namespace

ClusterCost MeasureCost(int nodes, bool smart, int operations, uint64_t seed) {
  World world(seed);
  // As a real cluster has them; runs that look for faults have them shorter.
  Cluster cluster(&world, {.nodes = nodes,
                           .partitions = kPartitions,
                           .repair_interval = 10s,
                           .scrub_interval = 3600s,
                           .reap_interval = 60s,
                           .skewed_clocks = false});
  ANNULUS_CHECK(cluster.WaitReady(60s));
  Meter meter;
  cluster.net().AddWatcher(&meter);
  Client client(&cluster, 1);
  const auto choose = [&](int number, const std::string& key) {
    client.Ask(smart ? cluster.OwnersOf(Client::ItemOf(key)).front() : number % nodes + 1);
  };

  ClusterCost cost;
  world.RunFor(5s);
  meter.TakeForClients();
  meter.TakeBackground();
  world.RunFor(5s);
  cost.background_messages = static_cast<double>(meter.TakeBackground().messages) / 5 / nodes;

  meter.TakeForClients();
  for (int i = 0; i < operations; ++i) {
    const std::string key = absl::StrCat("key-", i);
    choose(i, key);
    ANNULUS_CHECK(client.Put(key, std::string(kValueBytes, 'v')).ok());
  }
  world.RunFor(1s);  // What a put leaves behind ends.
  cost.put = Per(meter.TakeForClients(), operations);
  for (int i = 0; i < operations; ++i) {
    const std::string key = absl::StrCat("key-", i);
    choose(i, key);
    ANNULUS_CHECK(client.Get(key).ok());
  }
  world.RunFor(1s);
  cost.get = Per(meter.TakeForClients(), operations);
  cluster.net().RemoveWatcher(&meter);
  return cost;
}

}  // namespace annulus::sim
