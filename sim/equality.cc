#include "sim/equality.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "core/merkle/tree.h"
#include "core/reap/dead.h"
#include "core/ring/ring.h"

namespace annulus::sim {

namespace {

// Clocks may be this much too fast or too slow.
constexpr double kRateMax = 1.1;

// Whether each node has seen its partitions level since then.
bool AllLevel(Cluster* cluster, Instant since) {
  const Duration passed = cluster->world().now() - since;
  for (int i = 1; i <= cluster->nodes(); ++i) {
    if (!cluster->Node(i).ready()) return false;
    const ConvergenceView view = cluster->Node(i).node()->Status().convergence;
    if (view.never > 0) return false;
    if (view.age.has_value() && ToSeconds(*view.age) * kRateMax > ToSeconds(passed)) return false;
  }
  return true;
}

uint64_t RecordsMoved(Cluster* cluster) {
  uint64_t moved = 0;
  for (int i = 1; i <= cluster->nodes(); ++i) {
    const NodeCounters counters = cluster->Node(i).node()->Status().counters;
    moved += counters.records_fetched + counters.records_sent;
  }
  return moved;
}

// What one owner's disk has of a partition.
struct Held {
  std::map<Bytes, Record> records;
  Leaves computed = Leaves(kLeavesPerPartition, 0);
  Leaves stored = Leaves(kLeavesPerPartition, 0);
};

Held Look(const SimDisk& disk, PartitionId partition, const std::string& name,
          std::vector<std::string>* lines) {
  Held held;
  const KeyRange range = PartitionRange(partition);
  const SimDisk::Map& data = disk.Entries(ColumnFamily::kData);
  for (auto it = data.lower_bound(range.begin); it != data.end() && it->first < range.end; ++it) {
    const auto key = ParseDataKey(it->first);
    auto stored = DecodeStored(it->second);
    if (!key.ok() || !stored.ok()) {
      lines->push_back(absl::StrCat("a record of ", name, " in partition ", partition.value(),
                                    " is damaged and was not repaired"));
      continue;
    }
    held.computed[key->leaf] ^= LeafDigest(key->item, *stored);
    if (stored->marked) continue;  // As good as gone: the others may have deleted theirs.
    held.records.emplace(it->first, std::move(stored->record));
  }
  const KeyRange leaves = TreeRange(partition);
  const SimDisk::Map& tree = disk.Entries(ColumnFamily::kTree);
  for (auto it = tree.lower_bound(leaves.begin); it != tree.end() && it->first < leaves.end; ++it) {
    ByteReader(it->second).Fixed64(&held.stored[ParseTreeKey(it->first)->leaf]);
  }
  return held;
}

void CheckDisks(Cluster* cluster, std::vector<std::string>* lines) {
  const Layout* layout = cluster->Node(1).node()->layout();
  for (uint32_t p = 0; p < layout->partitions(); ++p) {
    const PartitionId partition(p);
    std::map<Bytes, Record> first;
    std::string first_name;
    for (int i = 1; i <= cluster->nodes(); ++i) {
      SimProcess& process = cluster->Node(i);
      if (!layout->Owns(process.node()->id(), partition)) continue;
      Held held = Look(process.disk(), partition, process.name(), lines);
      if (held.computed != held.stored) {
        lines->push_back(absl::StrCat("leaves of partition ", p, " on ", process.name(),
                                      " are not what its records say"));
      }
      if (first_name.empty()) {
        first_name = process.name();
        first = std::move(held.records);
        continue;
      }
      const auto [a, b] =
          std::mismatch(first.begin(), first.end(), held.records.begin(), held.records.end());
      if (a == first.end() && b == held.records.end()) continue;
      const Bytes& key = a != first.end() && (b == held.records.end() || a->first <= b->first)
                             ? a->first
                             : b->first;
      lines->push_back(absl::StrCat("owners of partition ", p, " are not equal: ", first_name,
                                    " and ", process.name(), " differ in ",
                                    ParseDataKey(key)->item.key));
    }
  }
}

}  // namespace

std::vector<std::string> CheckEquality(Cluster* cluster, Duration patience) {
  std::vector<std::string> lines;
  World& world = cluster->world();
  const Instant start = world.now();
  auto run_until_level = [&](Instant since) {
    while (!AllLevel(cluster, since)) {
      if (world.now() - start > patience) return false;
      world.RunFor(100ms);
    }
    return true;
  };
  if (!run_until_level(start)) {
    lines.push_back("the owners do not say that they are equal after the last fault");
    return lines;
  }
  const uint64_t moved = RecordsMoved(cluster);
  if (!run_until_level(world.now())) lines.push_back("one more round does not end level");
  if (const uint64_t more = RecordsMoved(cluster) - moved; more > 0) {
    lines.push_back(absl::StrCat("one more round moves ", more, " records"));
  }
  CheckDisks(cluster, &lines);
  return lines;
}

std::vector<std::string> CheckDigests(const Cluster& cluster) {
  struct Copy {
    std::string holder;
    Record record;
  };
  std::map<std::pair<Bytes, uint64_t>, Copy> first;  // By data key and digest.
  std::vector<std::string> lines;
  const Layout* layout = cluster.AnyLayout();
  for (int i = 1; layout != nullptr && i <= cluster.nodes(); ++i) {
    const SimProcess& process = cluster.Node(i);
    const Member* member = layout->FindMember(process.name());
    if (member == nullptr) continue;
    for (const auto& [key, value] : process.disk().Entries(ColumnFamily::kData)) {
      const absl::StatusOr<ParsedDataKey> parsed = ParseDataKey(key);
      const absl::StatusOr<StoredRecord> stored = DecodeStored(value);
      if (!parsed.ok() || !stored.ok() || !layout->Owns(member->id, parsed->partition)) continue;
      const uint64_t digest = LeafDigest(parsed->item, *stored);
      if (digest == 0) continue;  // Marked: in no leaf.
      const auto [copy, is_new] =
          first.try_emplace({key, digest}, Copy{process.name(), stored->record});
      if (is_new || SameVersions(copy->second.record, stored->record)) continue;
      lines.push_back(absl::StrCat("SAME DIGEST ", copy->second.holder, " and ", process.name(),
                                   " hold other versions of ", parsed->item.key,
                                   ", and no exchange can tell"));
    }
  }
  return lines;
}

std::vector<std::string> CheckReaped(Cluster* cluster, Duration patience) {
  World& world = cluster->world();
  const Instant until = world.now() + patience;
  while (true) {
    std::vector<std::string> lines;
    for (int i = 1; i <= cluster->nodes(); ++i) {
      SimProcess& process = cluster->Node(i);
      for (const auto& [key, value] : process.disk().Entries(ColumnFamily::kData)) {
        const absl::StatusOr<StoredRecord> stored = DecodeStored(value);
        if (!stored.ok() || DiesAt(stored->record) != WallTime()) continue;
        const std::vector<std::string> by = process.node()->Status().reap.blocked_by;
        lines.push_back(absl::StrCat("NOT REAPED ", process.name(), " still holds a tombstone of ",
                                     ParseDataKey(key)->item.key, stored->marked ? ", marked" : "",
                                     by.empty() ? "" : ", blocked by ", absl::StrJoin(by, " ")));
      }
    }
    if (lines.empty() || world.now() >= until) return lines;
    world.RunFor(500ms);
  }
}

}  // namespace annulus::sim
