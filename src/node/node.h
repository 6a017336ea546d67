#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "core/gossip/gossip.h"
#include "core/quorum/admission.h"
#include "core/version/token.h"
#include "env/env.h"
#include "node/api.h"
#include "task/task.h"

namespace annulus {

// What a process is told by its configuration.
struct NodeOptions {
  std::string cluster;
  std::string name;
  std::string zone;
  std::string peer_address;    // Advertised host:port.
  std::string client_address;  // Advertised host:port.
  // The initial members, this node among them (a coordinator is not): "name" and peer host:port.
  struct Seed {
    std::string name;
    std::string peer_address;
    std::string zone;
  };
  std::vector<Seed> seeds;
  uint32_t partitions = 256;
  uint32_t replicas = 3;
  std::vector<Bytes> secrets;  // The first signs; the others are still accepted.
  Limits limits;
  HintLimits hint_limits;

  // How long an owner may be silent before the next one is asked.
  Duration silence_max = 150ms;
  // What is taken on at once.
  Admission::Options admission;
  // How the members find out who answers (core/gossip).
  Gossip::Options gossip;
  // How long a request waits for peers that cannot be connected, before it fails as UNAVAILABLE.
  Duration unreachable_max = 2s;
  // How long a write waits for its item's latch at one owner, before another owner is asked.
  Duration mint_wait_max = 500ms;
  // How often the members are asked for the layout until there is one.
  Duration formation_interval = 200ms;
  // Where a request has no deadline of its own, or a longer one.
  Duration deadline_default = 5s;
  Duration deadline_max = 60s;
  // How often an owner compares the hash trees of its partitions with the other owners'.
  Duration repair_interval = 10s;
  // Bytes of records that its repairs move in a second; 0: no limit.
  uint64_t repair_bytes_per_second = 16 << 20;
  // In what time every leaf is compared with its data once.
  Duration scrub_interval = 7 * 24h;
  // How often an owner looks for tombstones, and values long expired, that may be deleted for good.
  Duration reap_interval = 60s;
  // How far the members' wall clocks may be apart: so much longer an expired value is kept.
  Duration clock_skew_max = 10min;
  // How often a node looks whether a member that it keeps hints for is back.
  Duration handoff_interval = 1s;
  // Records up to this size are sent whole by each replica that is asked.
  size_t whole_record_bytes_max = 4096;
  // Memory for records that were read or written lately (record_cache.h).
  size_t record_cache_bytes = 0;
  // What an operator should know of this start; shown with its status.
  std::vector<std::string> notices;
};

// Is told of what operators want to see in a log: "layout_adopted", "layout_refused", ...
using EventSink = absl::AnyInvocable<void(std::string_view event, std::string_view detail)>;

// One process of the cluster: a storage node, or (without storage) a coordinator. It holds the
// flows and lends them the world through Env; it has no thread, clock or randomness of its own.
//
// REQUIRES: every call on the loop's thread.
class Node {
 public:
  // Reads the durable identity, or writes one where the store is empty. FAILED_PRECONDITION, with
  // what to do, where the store belongs to another node or cluster, or was written by a newer
  // format. INVALID_ARGUMENT where the options contradict themselves.
  static Task<absl::StatusOr<std::unique_ptr<Node>>> Start(Env env, NodeOptions options,
                                                           EventSink events);
  virtual ~Node() = default;

  // Client operations. Each ends by its deadline.
  virtual Task<absl::StatusOr<WriteAnswer>> Write(WriteRequest request, Instant deadline) = 0;
  virtual Task<absl::StatusOr<GetAnswer>> Get(GetRequest request, Instant deadline) = 0;
  // One page, of at most about 1 MiB. Call again with its token until that is empty.
  virtual Task<absl::StatusOr<ScanPage>> Scan(ScanRequest request, Instant deadline) = 0;

  // Operators.
  virtual StatusView Status() const = 0;
  // Null while it is not formed.
  virtual const Layout* layout() const = 0;
  virtual Task<absl::StatusOr<LocateAnswer>> Locate(Item item, Instant deadline) = 0;
  // Has the owners of all partitions, or of one, compared soon, and says how many are level: equal
  // on all owners by an exchange that began within `age`. UNAVAILABLE where there is no layout.
  virtual Task<absl::StatusOr<RepairAnswer>> Repair(std::optional<PartitionId> partition,
                                                    Duration age, Instant deadline) = 0;

  // Refuses new client requests and forwarded writes (UNAVAILABLE, "DRAINING") from now on; a
  // replica's work for its peers goes on.
  virtual void Drain() = 0;
  // Operations under way: for clients, and writes that this node runs for other coordinators.
  virtual size_t busy() const = 0;

  virtual NodeId id() const = 0;
  virtual Incarnation incarnation() const = 0;
  virtual const NodeOptions& options() const = 0;
  // Where spawned requests live; they die with the node.
  virtual void Spawn(Task<void> task) = 0;
};

}  // namespace annulus
