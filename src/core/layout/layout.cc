#include "core/layout/layout.h"

#include <algorithm>
#include <bit>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/checksum.h"
#include "core/layout/assignment.h"

namespace annulus {
namespace {

constexpr uint8_t kFormat = 1;
constexpr uint32_t kPartitionsMax = 65536;
constexpr uint32_t kReplicasMax = 7;

bool ByName(const Member& a, const Member& b) { return a.name < b.name; }

// Of a document that is to be formed, or that someone else has formed. Members ascend by name.
absl::Status Validate(LayoutVersion version, const std::vector<Member>& members,
                      uint64_t partitions, uint64_t replicas) {
  if (version == LayoutVersion(0)) {
    return absl::InvalidArgumentError("a layout's version is at least 1");
  }
  if (members.empty()) return absl::InvalidArgumentError("a layout needs at least one member");
  if (members.size() > Layout::kMembersMax) {
    return absl::InvalidArgumentError(absl::StrCat("a layout of ", members.size(),
                                                   " members: the limit is ", Layout::kMembersMax));
  }
  std::set<NodeId> ids;
  for (size_t i = 0; i < members.size(); ++i) {
    const Member& member = members[i];
    if (member.name.empty()) return absl::InvalidArgumentError("a member has no name");
    if (member.id == NodeId(0)) {
      return absl::InvalidArgumentError(absl::StrCat("member ", member.name, " has no node id"));
    }
    if (i > 0 && members[i - 1].name == member.name) {
      return absl::InvalidArgumentError(absl::StrCat("two members are named ", member.name));
    }
    if (!ids.insert(member.id).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("two members have the node id ", ToHex(member.id), "; one of them is ",
                       member.name, ": was a data directory copied?"));
    }
  }
  if (!std::has_single_bit(partitions) || partitions > kPartitionsMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        partitions, " partitions: it must be a power of two from 1 to ", kPartitionsMax));
  }
  if (replicas < 1 || replicas > kReplicasMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(replicas, " replicas: it must be from 1 to ", kReplicasMax));
  }
  return absl::OkStatus();
}

std::vector<uint32_t> ZonesOf(const std::vector<Member>& members) {
  std::vector<uint32_t> zones;
  std::map<std::string, uint32_t> named;
  uint32_t next = 0;
  for (const Member& member : members) {
    if (member.zone.empty()) {
      zones.push_back(next++);
      continue;
    }
    auto [zone, is_new] = named.emplace(member.zone, next);
    if (is_new) ++next;
    zones.push_back(zone->second);
  }
  return zones;
}

// By partition, in the order of the preference lists; kNobody where the owner is no member any
// more.
using Table = std::vector<std::vector<uint32_t>>;
constexpr uint32_t kNobody = ~uint32_t{0};

// Puts the owners of each partition into the order in which they are asked. Place by place, each is
// an assignment of its own among the owners that are left: as even as possible (a reader asks the
// first owner for the value), and, among those, the same owner as before where it still is one.
Table InOrder(Table owners, const Table& previous, uint32_t members) {
  Table ordered(owners.size());
  AssignmentProblem problem;
  problem.partitions = static_cast<uint32_t>(owners.size());
  problem.places = 1;
  problem.zone_of.resize(members);
  std::iota(problem.zone_of.begin(), problem.zone_of.end(), 0);

  const size_t places = owners.front().size();
  for (size_t place = 0; place < places; ++place) {
    Table chosen = owners;
    if (place + 1 < places) {
      problem.allowed = owners;
      problem.preferred.assign(owners.size(), {});
      for (size_t p = 0; p < previous.size(); ++p) {
        if (place < previous[p].size() && previous[p][place] != kNobody) {
          problem.preferred[p].push_back(previous[p][place]);
        }
      }
      chosen = Assign(problem);
    }
    for (size_t p = 0; p < owners.size(); ++p) {
      ordered[p].push_back(chosen[p].front());
      std::erase(owners[p], chosen[p].front());
    }
  }
  return ordered;
}

}  // namespace

absl::StatusOr<Layout> Layout::Form(std::string cluster, LayoutVersion version,
                                    std::vector<Member> members, uint32_t partitions,
                                    uint32_t replicas, const Layout* previous) {
  std::sort(members.begin(), members.end(), ByName);
  if (absl::Status status = Validate(version, members, partitions, replicas); !status.ok()) {
    return status;
  }
  if (previous != nullptr && previous->partitions() != partitions) {
    return absl::InvalidArgumentError(absl::StrCat("the cluster has ", previous->partitions(),
                                                   " partitions, not ", partitions,
                                                   ": their number is fixed for its life"));
  }

  std::map<NodeId, uint32_t> index;
  for (uint32_t i = 0; i < members.size(); ++i) index[members[i].id] = i;
  Table before;
  AssignmentProblem problem;
  if (previous != nullptr) {
    for (const std::vector<NodeId>& owners : previous->owners_) {
      auto& now = before.emplace_back();
      auto& preferred = problem.preferred.emplace_back();
      for (NodeId owner : owners) {
        auto found = index.find(owner);
        now.push_back(found == index.end() ? kNobody : found->second);
        if (found != index.end()) preferred.push_back(found->second);
      }
    }
  }
  problem.partitions = partitions;
  problem.places = std::min(replicas, static_cast<uint32_t>(members.size()));
  problem.zone_of = ZonesOf(members);
  const Table table = InOrder(Assign(problem), before, static_cast<uint32_t>(members.size()));

  Layout layout;
  layout.cluster_ = std::move(cluster);
  layout.version_ = version;
  layout.replicas_ = replicas;
  layout.owners_.reserve(partitions);
  for (const auto& row : table) {
    auto& owners = layout.owners_.emplace_back();
    for (uint32_t owner : row) owners.push_back(members[owner].id);
  }
  layout.members_ = std::move(members);
  return layout;
}

const Member* Layout::FindMember(NodeId id) const {
  auto found = std::ranges::find(members_, id, &Member::id);
  return found == members_.end() ? nullptr : &*found;
}

const Member* Layout::FindMember(std::string_view name) const {
  auto found = std::ranges::find(members_, name, &Member::name);
  return found == members_.end() ? nullptr : &*found;
}

const std::vector<NodeId>& Layout::Owners(PartitionId partition) const {
  ANNULUS_CHECK(partition.value() < owners_.size());
  return owners_[partition.value()];
}

bool Layout::Owns(NodeId node, PartitionId partition) const {
  const std::vector<NodeId>& owners = Owners(partition);
  return std::find(owners.begin(), owners.end(), node) != owners.end();
}

std::vector<NodeId> Layout::Fallbacks(PartitionId partition, size_t fallbacks_max) const {
  const std::vector<NodeId>& owners = Owners(partition);
  std::vector<NodeId> list;
  const size_t size = std::min(fallbacks_max, members_.size() - owners.size());
  auto append = [&](NodeId node) {
    if (list.size() == size) return;
    if (std::find(owners.begin(), owners.end(), node) != owners.end()) return;
    if (std::find(list.begin(), list.end(), node) == list.end()) list.push_back(node);
  };
  for (size_t step = 1; step < owners_.size() && list.size() < size; ++step) {
    for (NodeId node : owners_[(partition.value() + step) % owners_.size()]) append(node);
  }
  // Those that own nothing, where there are more members than places.
  for (const Member& member : members_) append(member.id);
  return list;
}

Bytes Layout::Encode() const {
  Bytes bytes;
  bytes.push_back(static_cast<char>(kFormat));
  PutSized(&bytes, cluster_);
  PutVarint(&bytes, version_.value());
  PutVarint(&bytes, replicas_);
  PutVarint(&bytes, members_.size());
  std::map<NodeId, uint64_t> index;
  for (const Member& member : members_) {
    index.emplace(member.id, index.size());
    PutFixed64(&bytes, member.id.value());
    PutSized(&bytes, member.name);
    PutSized(&bytes, member.peer_address);
    PutSized(&bytes, member.client_address);
    PutSized(&bytes, member.zone);
  }
  PutVarint(&bytes, owners_.size());
  for (const auto& owners : owners_) {
    for (NodeId owner : owners) PutVarint(&bytes, index.at(owner));
  }
  AppendChecksum(&bytes);
  return bytes;
}

absl::StatusOr<Layout> Layout::Decode(BytesView bytes) {
  const std::optional<BytesView> body = TakeChecksum(bytes);
  if (!body.has_value()) {
    return absl::DataLossError("a layout failed its checksum: it was cut or altered");
  }
  const absl::Status malformed = absl::DataLossError("a layout is malformed, or of a newer format");
  ByteReader reader(*body);
  uint8_t format;
  BytesView cluster;
  uint64_t version, replicas, members, partitions;
  if (!reader.Byte(&format) || format != kFormat || !reader.Sized(&cluster) ||
      !reader.Varint(&version) || !reader.Varint(&replicas) || !reader.Varint(&members) ||
      members > kMembersMax) {
    return malformed;
  }
  Layout layout;
  layout.cluster_ = std::string(cluster);
  layout.version_ = LayoutVersion(version);
  for (uint64_t i = 0; i < members; ++i) {
    uint64_t id;
    BytesView name, peer_address, client_address, zone;
    if (!reader.Fixed64(&id) || !reader.Sized(&name) || !reader.Sized(&peer_address) ||
        !reader.Sized(&client_address) || !reader.Sized(&zone)) {
      return malformed;
    }
    layout.members_.push_back(Member{NodeId(id), std::string(name), std::string(peer_address),
                                     std::string(client_address), std::string(zone)});
  }
  if (!reader.Varint(&partitions) ||
      !std::is_sorted(layout.members_.begin(), layout.members_.end(), ByName) ||
      !Validate(layout.version_, layout.members_, partitions, replicas).ok()) {
    return malformed;
  }
  layout.replicas_ = static_cast<uint32_t>(replicas);
  const size_t places = std::min<size_t>(replicas, members);
  layout.owners_.reserve(partitions);
  for (uint64_t p = 0; p < partitions; ++p) {
    auto& owners = layout.owners_.emplace_back();
    for (size_t place = 0; place < places; ++place) {
      uint64_t owner;
      if (!reader.Varint(&owner) || owner >= members) return malformed;
      const NodeId id = layout.members_[owner].id;
      if (std::find(owners.begin(), owners.end(), id) != owners.end()) return malformed;
      owners.push_back(id);
    }
  }
  if (!reader.done()) return malformed;
  return layout;
}

}  // namespace annulus
