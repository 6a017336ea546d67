#include "sim/lost_copies.h"

#include <map>
#include <utility>

#include "core/hint/hint.h"
#include "core/ring/ring.h"
#include "core/version/stored.h"

namespace annulus::sim {

namespace {

using RecordsByKey = std::map<Bytes, std::vector<Record>>;

// The record that lies there, under the data key of its item; nothing where there is none.
void Add(ColumnFamily family, const Bytes& key, const Bytes& value, RecordsByKey* records) {
  if (family == ColumnFamily::kData) {
    absl::StatusOr<StoredRecord> stored = DecodeStored(value);
    if (stored.ok()) (*records)[key].push_back(std::move(stored->record));
  } else if (family == ColumnFamily::kHint) {
    const absl::StatusOr<ParsedHintKey> parsed = ParseHintKey(key);
    absl::StatusOr<Hint> hint = DecodeHint(value);
    if (parsed.ok() && hint.ok() && hint->pointer == 0) {
      (*records)[parsed->data_key].push_back(std::move(hint->stored.record));
    }
  }
}

template <class Entries>
void AddAll(const Entries& entries_of, RecordsByKey* records) {
  for (const ColumnFamily family : {ColumnFamily::kData, ColumnFamily::kHint}) {
    for (const auto& [key, value] : entries_of(family)) Add(family, key, value, records);
  }
}

}  // namespace

LostCopies OnlyCopiesOf(Cluster* cluster, int node, const std::optional<SimDisk::Place>& place,
                        const SimDisk::Image* image, std::optional<PartitionId> partition) {
  RecordsByKey here, elsewhere;
  for (int i = 1; i <= cluster->nodes(); ++i) {
    const SimDisk& disk = cluster->Node(i).disk();
    if (i == node && place.has_value()) {
      if (const auto value = disk.Peek(place->family, place->key)) {
        Add(place->family, place->key, *value, &here);
      }
      continue;
    }
    AddAll([&](ColumnFamily family) -> const SimDisk::Map& { return disk.Entries(family); },
           i == node ? &here : &elsewhere);
  }
  if (image != nullptr) {
    AddAll(
        [&](ColumnFamily family) -> const SimDisk::Map& {
          return image->maps[static_cast<size_t>(family)];
        },
        &elsewhere);
  }
  LostCopies lost;
  for (const auto& [key, records] : here) {
    if (partition.has_value() && LeafOf(key).partition != *partition) continue;
    LostCopies::Part part;
    for (const Record& record : elsewhere[key]) part.elsewhere.Merge(record.vector);
    for (const Record& record : records) {
      part.here.Merge(record.vector);
      for (const Sibling& sibling : record.siblings) {
        if (!part.elsewhere.Covers(sibling.dot)) lost.standing.push_back(sibling.request_id);
      }
    }
    absl::StatusOr<ParsedDataKey> parsed = ParseDataKey(key);
    if (!parsed.ok() || part.elsewhere.Covers(part.here)) continue;
    part.item = std::move(parsed->item);
    lost.parts.push_back(std::move(part));
  }
  return lost;
}

}  // namespace annulus::sim
