#include "client/routes.h"

#include <bit>

#include "core/ring/ring.h"

namespace annulus {
namespace {

constexpr char kDefaultBucket[] = "default";

}  // namespace

Routes::Routes(const admin::v1::LayoutResponse& layout, const std::map<uint64_t, size_t>& lane_of) {
  const size_t partitions = layout.partitions_size();
  if (!std::has_single_bit(partitions)) return;  // No layout yet, or nothing that we know.
  owners_.resize(partitions);
  for (size_t i = 0; i < partitions; ++i) {
    for (const uint32_t member : layout.partitions(static_cast<int>(i)).owners()) {
      if (member >= static_cast<uint32_t>(layout.members_size())) continue;
      const auto lane = lane_of.find(layout.members(static_cast<int>(member)).node_id());
      if (lane != lane_of.end()) owners_[i].push_back(lane->second);
    }
  }
}

int32_t Routes::PartitionOf(BytesView bucket, BytesView key) const {
  if (owners_.empty()) return -1;
  const uint64_t hash = RingHash(bucket.empty() ? kDefaultBucket : bucket, key);
  const PartitionId partition = annulus::PartitionOf(hash, static_cast<uint32_t>(owners_.size()));
  return static_cast<int32_t>(partition.value());
}

int32_t Routes::PartitionOf(const kv::v1::Operation& operation) const {
  switch (operation.operation_case()) {
    case kv::v1::Operation::kPut:
      return PartitionOf(operation.put().bucket(), operation.put().key());
    case kv::v1::Operation::kGet:
      return PartitionOf(operation.get().bucket(), operation.get().key());
    case kv::v1::Operation::kDelete:
      return PartitionOf(operation.delete_().bucket(), operation.delete_().key());
    case kv::v1::Operation::OPERATION_NOT_SET:
      return -1;
  }
  return -1;
}

}  // namespace annulus
