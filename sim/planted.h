#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "base/planted.h"

namespace annulus::sim {

// The one that may switch a planted bug on (base/planted.h), for the whole process.
class Planter {
 public:
  static void Plant(PlantedBug bug) { PlantedBugs::planted_ = bug; }
};

// As in base/planted.h, in words: "ack before sync".
std::string_view ToString(PlantedBug bug);
// Nullopt where none is called so.
std::optional<PlantedBug> PlantedBugOf(std::string_view name);
std::vector<PlantedBug> AllPlantedBugs();

}  // namespace annulus::sim
