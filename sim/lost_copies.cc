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

// Of owners, which strict reads ask; and besides, what others keep for them.
struct Copies {
  RecordsByKey owned, all;

  void Take(ColumnFamily family, const Bytes& key, const Bytes& value) {
    Add(family, key, value, &all);
    if (family == ColumnFamily::kData) Add(family, key, value, &owned);
  }
  template <class Entries>
  void TakeAll(const Entries& entries_of) {
    for (const ColumnFamily family : {ColumnFamily::kData, ColumnFamily::kHint}) {
      for (const auto& [key, value] : entries_of(family)) Take(family, key, value);
    }
  }
};

VersionVector VectorOf(const std::vector<Record>& records) {
  VersionVector vector;
  for (const Record& record : records) vector.Merge(record.vector);
  return vector;
}

}  // namespace

LostCopies OnlyCopiesOf(Cluster* cluster, int node, const std::optional<SimDisk::Place>& place,
                        const SimDisk::Image* image, std::optional<PartitionId> partition) {
  Copies here, elsewhere;
  for (int i = 1; i <= cluster->nodes(); ++i) {
    const SimDisk& disk = cluster->Node(i).disk();
    if (i == node && place.has_value()) {
      if (const auto value = disk.Peek(place->family, place->key)) {
        here.Take(place->family, place->key, *value);
      }
      continue;
    }
    Copies& copies = i == node ? here : elsewhere;
    copies.TakeAll(
        [&](ColumnFamily family) -> const SimDisk::Map& { return disk.Entries(family); });
  }
  if (image != nullptr) {
    elsewhere.TakeAll([&](ColumnFamily family) -> const SimDisk::Map& {
      return image->maps[static_cast<size_t>(family)];
    });
  }
  LostCopies lost;
  for (const auto& [key, records] : here.all) {
    if (partition.has_value() && LeafOf(key).partition != *partition) continue;
    absl::StatusOr<ParsedDataKey> parsed = ParseDataKey(key);
    if (!parsed.ok()) continue;
    LostCopies::Part part{parsed->item, VectorOf(records), VectorOf(elsewhere.all[key])};
    for (const Record& record : records) {
      for (const Sibling& sibling : record.siblings) {
        if (!part.elsewhere.Covers(sibling.dot)) lost.standing.push_back(sibling.request_id);
      }
    }
    if (!part.elsewhere.Covers(part.here)) lost.parts.push_back(std::move(part));
    LostCopies::Part owned{std::move(parsed->item), VectorOf(here.owned[key]),
                           VectorOf(elsewhere.owned[key])};
    if (!owned.elsewhere.Covers(owned.here)) lost.owned.push_back(std::move(owned));
  }
  return lost;
}

}  // namespace annulus::sim
