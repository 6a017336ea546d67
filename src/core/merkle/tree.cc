#include "core/merkle/tree.h"

#include <algorithm>

#include "absl/status/status.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/planted.h"

namespace annulus {
namespace {

// Who minted what stands in an item, and not how often; nor what the item has seen.
uint64_t DigestOfActors(const Item& item, const Record& record) {
  if (record.siblings.empty()) return 0;
  Bytes bytes;
  PutSized(&bytes, item.bucket);
  PutSized(&bytes, item.key);
  PutSized(&bytes, item.sort_key);
  for (const Sibling& sibling : record.siblings) PutFixed64(&bytes, sibling.dot.actor.value());
  return Hash64(bytes);
}

}  // namespace

uint64_t LeafDigest(const Item& item, const Record& record, bool marked) {
  // Rule MARKED_SENT_TO_NOBODY: what is in no leaf is in no exchange.
  if (marked && !PlantedBugs::Has(PlantedBug::kMarkedIsSent)) return 0;
  if (PlantedBugs::Has(PlantedBug::kDigestIgnoresVersions)) {
    return DigestOfActors(item, record);
  }
  return DigestOf(item, record);
}

uint64_t RootOf(const Leaves& leaves) {
  uint64_t root = 0;
  for (uint64_t leaf : leaves) root ^= leaf;
  return root;
}

Bytes Encode(const Leaves& leaves) {
  Bytes bytes;
  bytes.reserve(leaves.size() * sizeof(uint64_t));
  for (uint64_t leaf : leaves) PutFixed64(&bytes, leaf);
  return bytes;
}

absl::StatusOr<Leaves> DecodeLeaves(BytesView bytes) {
  Leaves leaves(kLeavesPerPartition);
  ByteReader reader(bytes);
  for (uint64_t& leaf : leaves) reader.Fixed64(&leaf);
  if (!reader.done()) return absl::DataLossError("malformed leaves of a hash tree");
  return leaves;
}

std::vector<uint32_t> DifferingLeaves(const std::vector<Leaves>& trees) {
  std::vector<uint32_t> differing;
  for (uint32_t leaf = 0; leaf < kLeavesPerPartition; ++leaf) {
    const bool equal = std::all_of(trees.begin(), trees.end(), [&](const Leaves& tree) {
      return tree[leaf] == trees.front()[leaf];
    });
    if (!equal) differing.push_back(leaf);
  }
  if (PlantedBugs::Has(PlantedBug::kAaeSkipsLeaf)) {
    std::erase_if(differing, [](uint32_t leaf) { return leaf % 4 == 3; });
  }
  return differing;
}

std::vector<Difference> Compare(const std::vector<std::vector<KeyDigest>>& lists) {
  std::vector<Difference> differences;
  std::vector<size_t> at(lists.size(), 0);
  while (true) {
    const Bytes* next = nullptr;
    for (size_t i = 0; i < lists.size(); ++i) {
      if (at[i] == lists[i].size()) continue;
      const Bytes& key = lists[i][at[i]].data_key;
      if (next == nullptr || key < *next) next = &key;
    }
    if (next == nullptr) return differences;
    Difference item{.data_key = *next, .digests = std::vector<uint64_t>(lists.size(), 0)};
    for (size_t i = 0; i < lists.size(); ++i) {
      if (at[i] == lists[i].size() || lists[i][at[i]].data_key != item.data_key) continue;
      item.digests[i] = lists[i][at[i]++].digest;
    }
    const bool equal = std::all_of(item.digests.begin(), item.digests.end(),
                                   [&](uint64_t d) { return d == item.digests.front(); });
    if (!equal) differences.push_back(std::move(item));
  }
}

}  // namespace annulus
