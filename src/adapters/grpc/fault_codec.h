#pragma once

#include <vector>

#include "absl/status/status.h"
#include "adapters/faults/fault_plane.h"
#include "annulus/admin/v1/admin.pb.h"
#include "core/layout/layout.h"

namespace annulus {

// adapters/faults/fault_plane.h <-> annulus.admin.v1. `layout` turns names of members into node ids
// and back; it may be null, while there is none.

// INVALID_ARGUMENT, with what is wrong: a peer that is no member, or a number out of its range.
absl::Status DecodeFaults(const admin::v1::SetFaultsRequest& request, const Layout* layout,
                          Instant now, std::vector<Fault>* out);

void EncodeFaults(const std::vector<Fault>& faults, const Layout* layout, Instant now,
                  google::protobuf::RepeatedPtrField<admin::v1::Fault>* out);

// PERMISSION_DENIED, with what to do.
absl::Status FaultsNotEnabled();

}  // namespace annulus
