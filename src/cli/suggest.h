#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace annulus::cli {

// The candidate that was probably meant: a few letters off at most. Empty where none is near.
std::string Nearest(absl::string_view word, const std::vector<std::string>& candidates);

}  // namespace annulus::cli
