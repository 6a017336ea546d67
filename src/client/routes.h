#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "annulus/admin/v1/admin.pb.h"
#include "annulus/kv/v1/kv.pb.h"
#include "base/bytes.h"

namespace annulus {

// From an item to the lanes of its owners, as the layout has them.
class Routes {
 public:
  Routes() = default;
  // `lane_of` has the lanes of the members that can be reached, by node id.
  Routes(const admin::v1::LayoutResponse& layout, const std::map<uint64_t, size_t>& lane_of);

  bool empty() const { return owners_.empty(); }
  // -1 where the layout is not known. An empty bucket is the default one.
  int32_t PartitionOf(BytesView bucket, BytesView key) const;
  int32_t PartitionOf(const kv::v1::Operation& operation) const;
  // The first is to be asked first. REQUIRES: a partition that PartitionOf gave.
  const std::vector<size_t>& LanesOf(int32_t partition) const { return owners_[partition]; }

 private:
  std::vector<std::vector<size_t>> owners_;  // By partition.
};

}  // namespace annulus
