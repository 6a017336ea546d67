#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/strong_id.h"
#include "base/time.h"
#include "core/error.h"
#include "core/merkle/tree.h"
#include "core/reap/epochs.h"
#include "core/version/item.h"
#include "core/version/record.h"

namespace annulus {

// What nodes say to each other. The same messages cross the simulated network as they are, and the
// real one as annulus.peer.v1 (adapters/grpc translates, and decides nothing).

// How far a process has come in being the node that it says it is.
enum class Claim : uint8_t {
  kNone,      // It has found another process with its id, and serves nobody.
  kStarting,  // It finds out whether it may serve.
  kServing,
};

// Who are you, and do you know the layout? Asked of an address before ids are known.
struct IntroduceRequest {};
struct IntroduceReply {
  std::string cluster;
  std::string name;
  NodeId id;
  Incarnation incarnation;
  bool storage = true;  // False: a coordinator, never a member.
  std::string peer_address;
  std::string client_address;
  std::string zone;
  Bytes layout;  // Encoded; empty while it has none.
  // Of the settings that the first layout is formed from: members must agree on them.
  uint64_t formation_digest = 0;
  // Of two processes with one id the one that serves goes on, else the one that started first.
  Claim claim = Claim::kServing;
  WallTime started;
};

// What do you remember of this member? Answered while starting too: it is what a member asks about
// itself before it serves (node/self_check).
struct RecallRequest {
  NodeId node;
};
struct RecallReply {
  bool known = false;        // The answerer has it in its layout.
  uint64_t sequence = 0;     // The highest that it ever said.
  Incarnation incarnation;   // As last heard; 0: nothing was.
  std::string peer_address;  // The same.
};

// Are you there? Both ways it carries what is known of the members (core/gossip, encoded there).
struct PingRequest {
  Bytes gossip;
};
struct PingReply {
  Bytes gossip;
};

// A client's write, handed to an owner (or, where none answers, to a fallback), which mints and
// runs the quorum.
struct ForwardRequest {
  Item item;
  Bytes value;
  bool tombstone = false;
  bool blind_delete = false;
  VersionVector context;
  RequestId request_id = {};
  uint32_t acks_required = 0;
  WallTime expires;  // Set once, by the coordinator; 0: never.
  bool explain = false;
  bool sloppy = true;   // Whether fallbacks may take the place of owners.
  NodeId fallback_for;  // The owner in whose place the receiver mints; 0: it is an owner.
};
struct ForwardReply {
  Dot dot;
  VersionVector context;
  Acks acks;
  bool durable = true;
  uint32_t siblings = 0;
  // Where asked for: who was asked, in microseconds of the minter's own request.
  struct Hop {
    NodeId node;
    uint8_t kind = 0;
    std::string answer;
    uint64_t asked_us = 0;
    uint64_t answered_us = 0;
  };
  std::vector<Hop> hops;
};

// Merge this record into yours, and answer when that is durable.
struct ReplicateRequest {
  Item item;
  Bytes record;         // Encoded, with its checksum.
  Epoch epoch;          // The stamp (DESIGN section 6).
  NodeId hint_for;      // The owner for which the receiver keeps it; 0: the receiver is an owner.
  bool counted = true;  // The sender counts the answer toward its quorum.
};
struct ReplicateReply {
  bool durable = true;    // False where the node is set not to sync.
  uint64_t sequence = 0;  // Of the node that answers (DESIGN section 8).
};

// What do you hold of this item? A node that does not own it answers from its hints.
struct ReadRequest {
  Item item;
  // Above this many bytes a digest is enough. 0: a digest always; max: the whole record.
  uint64_t whole_up_to_bytes = 0;
};
struct ReadReply {
  bool found = false;
  std::optional<Bytes> record;  // Encoded; nullopt where only the digest was wanted.
  uint64_t digest = 0;          // Of the record's versions; 0 where there is none.
  Epoch epoch;                  // The stamp.
  // What was read elsewhere under a lower stamp is to be ignored beside this: a record that it
  // shows may have been deleted here. 0: of a node that does not own the item.
  Epoch closed;
  bool rebuilding = false;  // It may lack anything: count this for nothing.
};

// One page of a partition's part of a bucket.
struct RangeRequest {
  PartitionId partition;
  Bytes begin;  // Data keys, half-open.
  Bytes end;
  bool values = false;  // Without it records come with empty values (core/version WithoutValues).
  uint32_t entries_max = 0;
  uint64_t bytes_max = 0;
};
struct RangeReply {
  struct Entry {
    Bytes data_key;
    Bytes record;
  };
  std::vector<Entry> entries;
  bool more = false;
  Epoch epoch;   // As in ReadReply.
  Epoch closed;  // The same.
};

// Anti-entropy (DESIGN section 8), between the owners of a partition.

// The roots of these partitions' hash trees, in the order asked.
struct RootsRequest {
  std::vector<PartitionId> partitions;
};
struct RootsReply {
  std::vector<uint64_t> roots;
};

// A partition's leaves. Those named, which are in doubt, are made what their items say first.
struct LeavesRequest {
  PartitionId partition;
  std::vector<uint32_t> recompute;
};
struct LeavesReply {
  Bytes leaves;  // core/merkle Encode.
};

// What do you hold of these leaves? Ascending, from the data key `begin` on (empty: the first).
struct KeysRequest {
  PartitionId partition;
  std::vector<uint32_t> leaves;
  Bytes begin;
  uint64_t bytes_max = 0;
};
struct KeysReply {
  std::vector<KeyDigest> keys;
  Bytes next;  // Where to go on; empty: this was the last page.
};

// Compare these partitions with their other owners soon. The reply does not wait for it: it says
// how long ago the last exchange of each began that left all owners equal.
struct HurryRequest {
  std::vector<PartitionId> partitions;
};
struct HurryReply {
  std::vector<std::optional<Duration>> ages;  // In the order asked; nullopt: never.
};

// Reaping (DESIGN section 6).

// Where do you stand in these partitions? Asked of owners by whoever has started, with where it
// stands itself; and of all members by the driver of a round. Answered from the first moment on.
struct EpochsRequest {
  std::vector<PartitionId> partitions;
  std::vector<PartitionEpochs> epochs;  // The asker's, in the same order.
  // It waits for the next round of these, to serve again or to get rid of marks.
  bool wants_round = false;
};
struct EpochsReply {
  Incarnation incarnation;
  std::vector<PartitionEpochs> epochs;  // In the order asked.
};

// One step of a round, asked by its driver; in the order of the steps. It is for that incarnation
// alone: a member that has started since may have another disk, and refuses.
enum class ReapStep : uint8_t {
  kRaise = 1,  // Owners: durably raise the partition to this epoch.
  // Other members: durably note it, refuse lower stamps, and say (`yes`, one) whether no hint of a
  // lower stamp is left.
  kNote,
  kCollect,  // Owners: take off all marks of earlier rounds; which of these are eligible here?
  kClose,    // Owners: durably refuse lower stamps.
  kMark,     // Owners: mark these durably, if they are still eligible; which are?
  kDelete,   // Owners: delete these, where they are still marked.
};
struct ReapRequest {
  PartitionId partition;
  Incarnation incarnation;
  Epoch epoch;
  ReapStep step = ReapStep::kRaise;
  std::vector<KeyDigest> keys;  // What the driver holds; of the last four steps.
};
struct ReapReply {
  std::vector<bool> yes;  // For each key.
};

// Ping that member for me, since it does not answer me, and say within the timeout whether it
// answers you.
struct PingForRequest {
  NodeId target;
  Duration timeout{0};
  Bytes gossip;
};
struct PingForReply {
  bool reached = false;
};

using PeerRequest =
    std::variant<IntroduceRequest, PingRequest, ForwardRequest, ReplicateRequest, ReadRequest,
                 RangeRequest, RootsRequest, LeavesRequest, KeysRequest, HurryRequest,
                 PingForRequest, EpochsRequest, ReapRequest, RecallRequest>;
using PeerReply = std::variant<IntroduceReply, PingReply, ForwardReply, ReplicateReply, ReadReply,
                               RangeReply, RootsReply, LeavesReply, KeysReply, HurryReply,
                               PingForReply, EpochsReply, ReapReply, RecallReply>;

}  // namespace annulus
