#include "sim/tool/flags.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "sim/planted.h"

namespace annulus::sim {

namespace {

constexpr char kHelp[] =
    R"(Simulates whole clusters: real node code, a virtual clock, and a network and disks that fail.

Usage: annulus_sim --seeds N [--first-seed S]   run N seeds, end with one summary line
       annulus_sim --seed S                     run one, print its story and trace hash
       annulus_sim --seed S --shrink            find a smaller run that fails in the same way, with
                                                fewer faults, clients, operations and items, and
                                                tell its story
       annulus_sim --planted [--keep FILE]      prove that each planted bug is caught, within 200
                                                seeds in each of 3 ranges; keep a seed for each
       annulus_sim --kept FILE                  see that the seeds which were kept catch them, or
                                                others where chance falls otherwise by now
       annulus_sim --kept-seeds FILE            run the seeds that failed once, a line "SEED: WHY" each
       annulus_sim --check-determinism N        run N seeds twice, compare trace hashes
       annulus_sim --cost                       count messages and bytes of puts and gets in clusters
                                                of 3 to 64 nodes where nothing fails

Options:
  --first-seed S   the first of the seeds (1)
  --jobs N         processes that run seeds (as many as there are processors)
  --sync on|off    whether disks sync before they acknowledge (on). Off loses acknowledged writes,
                   and the checker says so
  --plant NAME     plant this bug (names: --planted prints them)
  --without KIND   leave this fault out, such as "crash" or "full disk"; can be given several times
  --only EPISODES  only these faults of the run, by number: "3,7", or "none"
  --clients N, --operations N, --keys N   at most so many
  --history        with --seed: print the history of the first violation's item even if it is long
  --help           this

Ends with 0 where all is well; 1 where a promise was broken, a planted bug survived or a hash
differed; 2 where the command line is wrong. From 20 seeds on, also 1 where something that has to
happen was seen in fewer than 10 % of them: then they proved too little.

Examples:
  annulus_sim --seeds 500                         the usual check
  annulus_sim --seed 42                           what happened in that seed
  annulus_sim --planted --first-seed 1000         other seeds, same bugs
  annulus_sim --plant "ack before sync" --seed 7  the story of a bug
  annulus_sim --seeds 20 --sync off               fails: unsynced writes are forgotten
)";

[[noreturn]] void Refuse(const std::string& message) {
  std::fprintf(stderr, "annulus_sim: %s\nTry --help.\n", message.c_str());
  std::exit(2);
}

// As a bit.
uint32_t ParseKind(const std::string& name) {
  for (int kind = 0; kind < kFaultKinds; ++kind) {
    if (ToString(static_cast<FaultKind>(kind)) == name) return 1u << kind;
  }
  Refuse("no fault is called \"" + name + "\"");
}

std::vector<uint64_t> ParseEpisodes(const std::string& text) {
  std::vector<uint64_t> episodes;
  if (text == "none") return episodes;
  for (const absl::string_view number : absl::StrSplit(text, ',')) {
    if (!absl::SimpleAtoi(number, &episodes.emplace_back())) Refuse("--only needs numbers");
  }
  return episodes;
}

}  // namespace

Flags ParseFlags(int argc, char** argv) {
  Flags flags;
  int modes = 0;
  for (int i = 1; i < argc; ++i) {
    std::string flag = argv[i];
    std::optional<std::string> given;
    if (const size_t equals = flag.find('='); equals != std::string::npos) {
      given = flag.substr(equals + 1);
      flag.resize(equals);
    }
    auto value = [&]() -> std::string {
      if (given.has_value()) return *given;
      if (i + 1 >= argc) Refuse(flag + " needs a value");
      return argv[++i];
    };
    auto limit = [&]() -> int {
      const std::string text = value();
      int parsed = 0;
      if (!absl::SimpleAtoi(text, &parsed) || parsed < 1) Refuse(flag + " needs at least 1");
      return parsed;
    };
    auto number = [&]() -> uint64_t {
      const std::string text = value();
      uint64_t parsed = 0;
      if (!absl::SimpleAtoi(text, &parsed)) Refuse(flag + " needs a number, not \"" + text + "\"");
      return parsed;
    };
    if (flag == "--help" || flag == "-h") {
      std::fputs(kHelp, stdout);
      std::exit(0);
    } else if (flag == "--seeds") {
      flags.seeds = number();
      if (*flags.seeds == 0) Refuse("--seeds must be at least 1");
      ++modes;
    } else if (flag == "--seed") {
      flags.seed = number();
      ++modes;
    } else if (flag == "--check-determinism") {
      flags.determinism = number();
      ++modes;
    } else if (flag == "--planted") {
      flags.planted = true;
      ++modes;
    } else if (flag == "--cost") {
      flags.cost = true;
      ++modes;
    } else if (flag == "--keep") {
      flags.keep = value();
    } else if (flag == "--kept") {
      flags.kept = value();
      ++modes;
    } else if (flag == "--kept-seeds") {
      flags.kept_seeds = value();
      ++modes;
    } else if (flag == "--first-seed") {
      flags.first_seed = number();
    } else if (flag == "--jobs") {
      const uint64_t jobs = number();
      if (jobs < 1 || jobs > 256) Refuse("--jobs must be from 1 to 256");
      flags.jobs = static_cast<int>(jobs);
    } else if (flag == "--sync") {
      const std::string sync = value();
      if (sync != "on" && sync != "off") Refuse("--sync must be on or off");
      flags.run.sync = sync == "on";
    } else if (flag == "--shrink") {
      flags.shrink = true;
    } else if (flag == "--only") {
      flags.run.only_episodes = ParseEpisodes(value());
    } else if (flag == "--clients") {
      flags.run.clients_max = limit();
    } else if (flag == "--operations") {
      flags.run.operations_max = limit();
    } else if (flag == "--keys") {
      flags.run.keys_max = limit();
    } else if (flag == "--history") {
      flags.whole_history = true;
    } else if (flag == "--without") {
      flags.run.without |= ParseKind(value());
    } else if (flag == "--plant") {
      const std::string name = value();
      const std::optional<PlantedBug> bug = PlantedBugOf(name);
      if (!bug.has_value()) Refuse("no planted bug is called \"" + name + "\"");
      flags.plant = *bug;
    } else {
      Refuse("unknown flag " + flag);
    }
  }
  if (modes != 1) {
    Refuse(
        "give one of --seeds, --seed, --planted, --kept, --kept-seeds, --check-determinism, "
        "--cost");
  }
  if (flags.shrink && !flags.seed.has_value()) Refuse("--shrink needs --seed");
  if (flags.jobs == 0) {
    flags.jobs = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  }
  return flags;
}

FleetOptions FleetOf(const Flags& flags, uint64_t first, uint64_t seeds) {
  FleetOptions options;
  options.first_seed = first;
  options.seeds = seeds;
  options.jobs = static_cast<int>(std::min<uint64_t>(static_cast<uint64_t>(flags.jobs), seeds));
  options.run = flags.run;
  return options;
}

std::string Reproduction(uint64_t seed, const RunOptions& run, PlantedBug plant) {
  std::string line = absl::StrCat("./x sim --seed ", seed);
  if (!run.sync) absl::StrAppend(&line, " --sync off");
  for (int kind = 0; kind < kFaultKinds; ++kind) {
    const std::string name(ToString(static_cast<FaultKind>(kind)));
    if ((run.without >> kind) & 1) absl::StrAppend(&line, " --without \"", name, "\"");
  }
  if (run.only_episodes.has_value()) {
    absl::StrAppend(&line, " --only ",
                    run.only_episodes->empty() ? "none" : absl::StrJoin(*run.only_episodes, ","));
  }
  if (run.clients_max > 0) absl::StrAppend(&line, " --clients ", run.clients_max);
  if (run.operations_max > 0) absl::StrAppend(&line, " --operations ", run.operations_max);
  if (run.keys_max > 0) absl::StrAppend(&line, " --keys ", run.keys_max);
  if (plant != PlantedBug::kNone) {
    absl::StrAppend(&line, " --plant \"", std::string(ToString(plant)), "\"");
  }
  return line;
}

}  // namespace annulus::sim
