#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "client/failure.h"

namespace annulus::cli {

// For people, several lines without a newline at the end: what happened, how a write ended, what to
// do. `what` is the operation: "put \"k\"".
std::string Describe(absl::string_view what, const absl::Status& status,
                     absl::string_view request_id = {});

// The same in one line, without what to do: for one of many.
std::string DescribeShort(absl::string_view what, const absl::Status& status);

}  // namespace annulus::cli
