#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/strong_id.h"

namespace annulus {

struct Member {
  NodeId id;
  std::string name;            // Configured, unique.
  std::string peer_address;    // host:port, resolved anew at each connection.
  std::string client_address;  // host:port, told to clients.
  std::string zone;            // May be empty: then the member is a zone of its own.

  bool operator==(const Member&) const = default;
};

// The versioned document that says who is a member and which N nodes own each partition.
// Immutable once formed; a change is a new document with the next version.
class Layout {
 public:
  static constexpr size_t kMembersMax = 1024;

  // Owners for the given members:
  // - min(N, members) owners on distinct nodes, in distinct zones as far as there are zones;
  // - as even as that allows: within one partition per node where zones do not forbid it;
  // - among those, the fewest moves from `previous` (null: none);
  // - the first places of the preference lists spread evenly too, then the second, and so on; among
  //   those, the order of `previous`.
  // An exact minimum-cost flow (the idea is Garage's), deterministic in its arguments.
  // INVALID_ARGUMENT: version 0, no member or too many, a name or id missing or twice, partitions
  // not a power of two in 1..65536 or not those of `previous`, replicas not in 1..7.
  static absl::StatusOr<Layout> Form(std::string cluster, LayoutVersion version,
                                     std::vector<Member> members, uint32_t partitions,
                                     uint32_t replicas, const Layout* previous);

  const std::string& cluster() const { return cluster_; }
  LayoutVersion version() const { return version_; }
  uint32_t partitions() const { return static_cast<uint32_t>(owners_.size()); }  // Q
  uint32_t replicas() const { return replicas_; }                                // N, as configured
  // Ascending by name.
  const std::vector<Member>& members() const { return members_; }
  // Null where there is none.
  const Member* FindMember(NodeId id) const;
  const Member* FindMember(std::string_view name) const;

  // The partition's owners, min(N, members) of them; clients ask the first one first.
  const std::vector<NodeId>& Owners(PartitionId partition) const;
  bool Owns(NodeId node, PartitionId partition) const;
  // The other nodes in ring order, as many as wanted: those that own the next partitions first.
  // With the owners before them they are the partition's preference list.
  std::vector<NodeId> Fallbacks(PartitionId partition, size_t fallbacks_max = kMembersMax) const;

  // With a checksum. Anything short, malformed or altered is DATA_LOSS.
  Bytes Encode() const;
  static absl::StatusOr<Layout> Decode(BytesView bytes);

  bool operator==(const Layout&) const = default;

 private:
  std::string cluster_;
  LayoutVersion version_;
  uint32_t replicas_ = 0;
  std::vector<Member> members_;
  std::vector<std::vector<NodeId>> owners_;
};

}  // namespace annulus
