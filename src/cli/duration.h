#pragma once

#include <chrono>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace annulus::cli {

// "250ms", "10s", "1.5h", "1h30m", "7d", "2w". A bare number is refused: nobody remembers its unit.
// `what` names the input in the error.
absl::StatusOr<std::chrono::milliseconds> ParseDuration(absl::string_view text,
                                                        absl::string_view what);

// "12.3 s", "4m05s", "2h03m": what is left to wait, for people.
std::string HumanDuration(double seconds);

}  // namespace annulus::cli
