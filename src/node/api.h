#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/strong_id.h"
#include "base/time.h"
#include "core/error.h"
#include "core/gossip/update.h"
#include "core/hint/hint.h"
#include "core/layout/layout.h"
#include "core/quorum/replicas.h"
#include "core/version/item.h"
#include "core/version/record.h"

namespace annulus {

// The public operations as plain values: what adapters/grpc translates from kv.proto and
// admin.proto, and what the simulator's clients call. Field meanings and limits are those of the
// protos.

struct Hop {
  enum class Kind : uint8_t { kMint, kReplicate, kRead, kDigest, kForward, kHint, kRepair };
  NodeId node;
  std::string name;
  Kind kind = Kind::kRead;
  std::string answer;
  Duration asked{0};     // Since the request's arrival.
  Duration answered{0};  // 0: it did not.
};
std::string_view ToString(Hop::Kind kind);

struct Explanation {
  PartitionId partition;
  LayoutVersion layout_version;
  std::string coordinator;
  std::vector<Hop> hops;
  Duration elapsed{0};
};

// A put or a delete.
struct WriteRequest {
  Item item;
  Bytes value;
  bool is_delete = false;
  bool blind_delete = false;
  Bytes context;  // As the client handed it in.
  ReplicaCount w;
  bool sloppy = true;  // Fallbacks may take the place of owners that do not answer.
  Bytes request_id;    // 16 bytes, or empty: made up.
  uint64_t ttl_ms = 0;
  bool explain = false;
};
struct WriteAnswer {
  Bytes context;
  Acks acks;
  RequestId request_id = {};
  bool durable = true;
  uint32_t siblings = 0;
  std::optional<Explanation> explanation;
};

struct GetRequest {
  Item item;
  ReplicaCount r;
  bool sloppy = true;  // Fallbacks may be asked for owners that do not answer.
  Bytes at_least;      // A context, or empty.
  bool explain = false;
};
struct ShownSibling {
  Bytes value;
  WallTime write_time;
  WallTime expires;
  RequestId request_id = {};
};
struct GetAnswer {
  std::vector<ShownSibling> siblings;
  Bytes context;
  bool more = false;
  bool tombstone = false;
  uint32_t answers = 0;
  std::optional<Explanation> explanation;
};

struct ScanRequest {
  Bytes bucket;
  Bytes key;  // Empty: the whole bucket.
  bool values = false;
  bool tombstones = false;
  uint64_t limit = 0;
  Bytes page_token;
  ReplicaCount r;
};
struct ScanItem {
  Item item;
  GetAnswer answer;  // Without values unless they were asked for.
};
// One page of a scan: some items, and the token behind the last; an empty token is the end.
struct ScanPage {
  std::vector<ScanItem> items;
  Bytes page_token;
};

// How far this node's partitions are known to be equal on all of their owners.
struct ConvergenceView {
  uint32_t partitions = 0;  // That this node owns.
  uint32_t never = 0;       // Of them, without such an exchange since the node's start.
  // Of the others: the start of the last exchange in which all owners took part and every
  // difference was confirmed repaired, the least over the partitions. Nullopt where there is none.
  std::optional<Duration> age;
  WallTime since;  // The same for people.
};

// A hurried repair (Node::Repair), as it stands.
struct RepairAnswer {
  uint32_t partitions = 0;  // That were asked for.
  uint32_t level = 0;       // Of them, equal on all owners since the moment that was asked for.
  std::vector<std::string> missing;  // Members that others wait for: they do not answer.
};

// Since the node's start.
struct NodeCounters {
  uint64_t hints_stored = 0;    // Hints written, or added to, here.
  uint64_t hints_refused = 0;   // Not written, since they were at their limit.
  uint64_t hints_replayed = 0;  // Confirmed durable by their targets.
  uint64_t hints_stale = 0;     // Of these, refused: they had been delivered before (reaping).
  uint64_t read_repairs = 0;    // Records that a read sent to owners that lacked a part of them.
  uint64_t hedges = 0;          // Reads that were sent elsewhere after a silence.
  uint64_t overloads = 0;       // Requests refused, since too much was under way.

  // Looks at own copies: in memory, and in the store.
  uint64_t record_cache_hits = 0;
  uint64_t record_cache_misses = 0;

  // What anti-entropy did.
  uint64_t rounds = 0;           // Comparisons of all roots.
  uint64_t exchanges = 0;        // Partitions whose leaves were compared.
  uint64_t leaves_differed = 0;  // In them; most of them by writes that were on their way.
  uint64_t records_fetched = 0;  // From other owners.
  uint64_t records_sent = 0;     // To other owners.
  uint64_t bytes_moved = 0;      // Of records, both ways.
  uint64_t partitions_scrubbed = 0;
  uint64_t leaves_corrected = 0;  // That were not what their items say.

  // Reaping, where this node drives the rounds, and what it deleted.
  uint64_t reap_rounds = 0;         // That ended.
  uint64_t reap_rounds_failed = 0;  // That were given up: somebody did not answer, or refused.
  uint64_t tombstones_reaped = 0;   // Dead records deleted here.

  uint64_t partitions_set_aside = 0;  // Since the disk was older than what others had reaped.
  uint64_t partitions_rebuilt = 0;
  uint64_t records_damaged = 0;  // Copies dropped since their checksum failed.
  uint64_t hints_damaged = 0;    // The same of hints.
};

// What reaping waits for.
struct ReapView {
  uint32_t untold = 0;      // Partitions of this node that it was not told the epochs of.
  uint32_t rebuilding = 0;  // Partitions that it rebuilds.
  // Where this node drives rounds: partitions with something to reap that could not be, and the
  // members that do not answer or stand in the way.
  uint32_t blocked = 0;
  std::vector<std::string> blocked_by;
};

struct MemberView {
  Member member;
  std::string state;  // "self", "up", "silent", "suspect", "down"
  Standing gossip = Standing::kAlive;
  MemberFacts facts;  // As it says of itself.
  uint32_t partitions = 0;
  HintLedger::Account hints;  // That this node keeps for it.
};
struct StatusView {
  std::string cluster;
  std::string name;
  bool storage = true;
  NodeId id;
  Incarnation incarnation;
  LayoutVersion layout_version;
  Duration uptime{0};
  bool ready = false;
  std::string not_ready_reason;
  std::vector<std::string> notices;  // What an operator should know of this process.
  bool sync = true;
  std::vector<MemberView> members;
  ConvergenceView convergence;
  ReapView reap;
  HintLedger::Account hints;  // Kept here now.
  NodeCounters counters;
};

struct HolderView {
  NodeId id;
  std::string name;
  bool owner = false;
  std::string answer;
  std::optional<Record> record;
  Epoch epoch;
};
struct LocateAnswer {
  uint64_t hash = 0;
  PartitionId partition;
  LayoutVersion layout_version;
  std::vector<HolderView> holders;
};

}  // namespace annulus
