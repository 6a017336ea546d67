#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/planted.h"
#include "sim/fleet.h"

namespace annulus::sim {

// The command line of annulus_sim; --help describes each.
struct Flags {
  std::optional<uint64_t> seeds;
  std::optional<uint64_t> seed;
  std::optional<uint64_t> determinism;
  bool planted = false;
  bool cost = false;
  std::string keep;        // With planted: the file to write the seeds to.
  std::string kept;        // The file to read them from.
  std::string kept_seeds;  // The file of seeds that failed once.
  bool shrink = false;     // With seed.
  bool whole_history = false;
  uint64_t first_seed = 1;
  int jobs = 0;
  RunOptions run;
  PlantedBug plant = PlantedBug::kNone;
};

// Ends the process, with code 2 and a word on stderr, where the command line is wrong; and with 0
// after --help.
Flags ParseFlags(int argc, char** argv);

FleetOptions FleetOf(const Flags& flags, uint64_t first, uint64_t seeds);
// The command that shows the seed's run again.
std::string Reproduction(uint64_t seed, const RunOptions& run, PlantedBug plant);

}  // namespace annulus::sim
