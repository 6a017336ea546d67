#pragma once

#include <string_view>

#include "base/planted.h"

namespace annulus::sim {

// The one that may switch a planted bug on (base/planted.h), for the whole process.
class Planter {
 public:
  static void Plant(PlantedBug bug) { PlantedBugs::planted_ = bug; }
};

// As in base/planted.h, in words: "ack before sync".
std::string_view ToString(PlantedBug bug);

}  // namespace annulus::sim
