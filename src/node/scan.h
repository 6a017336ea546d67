#pragma once

#include "node/context.h"

namespace annulus {

// One page of a bucket, or of one key's sort keys, in the order of the ring: partition after
// partition, each merged from R of its owners. A key that R + W > N makes visible appears exactly
// once.
Task<absl::StatusOr<ScanPage>> RunScan(NodeContext* node, ScanRequest request, Instant deadline);

// A page of what this node holds, for a peer or for a scan that runs here.
Task<absl::StatusOr<RangeReply>> ReadRangeHere(NodeContext* node, RangeRequest request);

}  // namespace annulus
