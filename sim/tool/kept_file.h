#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace annulus::sim {

// The lines of a file of kept seeds, as (what stands before ": ", what stands behind it). Lines
// that begin with # are for people. Nullopt where it cannot be read or a line is not of that form;
// a word on stdout says so.
std::optional<std::vector<std::pair<std::string, std::string>>> ReadKeptFile(
    const std::string& path);

}  // namespace annulus::sim
