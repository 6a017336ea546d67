// annulus_sim: the simulator's command line (./x sim).

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "sim/fleet.h"
#include "sim/planted.h"

namespace annulus::sim {
namespace {

constexpr char kHelp[] =
    R"(Simulates whole clusters: real node code, a virtual clock, and a network and disks that fail.

Usage: annulus_sim --seeds N [--first-seed S]   run N seeds, end with one summary line
       annulus_sim --seed S                     run one, print its story and trace hash
       annulus_sim --planted                    prove that each planted bug is caught
       annulus_sim --check-determinism N        run N seeds twice, compare trace hashes

Options:
  --first-seed S   the first of the seeds (1)
  --jobs N         processes that run seeds (as many as there are processors)
  --sync on|off    whether disks sync before they acknowledge (on). Off loses acknowledged writes,
                   and the checker says so
  --plant NAME     plant this bug (names: --planted prints them)
  --without KIND   leave this fault out, such as "crash" or "full disk"; can be given several times
  --history        with --seed: print the history of the first violation's item even if it is long
  --help           this

Ends with 0 where all is well; 1 where a promise was broken, a planted bug survived or a hash
differed; 2 where the command line is wrong. From 20 seeds on, also 1 where fewer than 10 % of them
saw siblings, or a crash that lost unsynced writes: then they proved too little.

Examples:
  annulus_sim --seeds 500                         the usual check
  annulus_sim --seed 42                           what happened in that seed
  annulus_sim --planted --first-seed 1000         other seeds, same bugs
  annulus_sim --plant "ack before sync" --seed 7  the story of a bug
  annulus_sim --seeds 20 --sync off               fails: unsynced writes are forgotten
)";

// Least of a seed: fewer operations, or fewer acknowledged, prove too little.
constexpr uint64_t kOperationsMin = 1000;
constexpr uint64_t kPlantedSeedsMax = 200;
constexpr uint64_t kSeedsForShares = 20;
constexpr double kShareMin = 0.10;
constexpr size_t kHistoryLinesMax = 120;

struct Flags {
  std::optional<uint64_t> seeds;
  std::optional<uint64_t> seed;
  std::optional<uint64_t> determinism;
  bool planted = false;
  bool whole_history = false;
  uint64_t first_seed = 1;
  int jobs = 0;
  bool sync = true;
  uint32_t without = 0;
  PlantedBug plant = PlantedBug::kNone;
};

[[noreturn]] void Refuse(const std::string& message) {
  std::fprintf(stderr, "annulus_sim: %s\nTry --help.\n", message.c_str());
  std::exit(2);
}

Flags Parse(int argc, char** argv) {
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
    } else if (flag == "--first-seed") {
      flags.first_seed = number();
    } else if (flag == "--jobs") {
      const uint64_t jobs = number();
      if (jobs < 1 || jobs > 256) Refuse("--jobs must be from 1 to 256");
      flags.jobs = static_cast<int>(jobs);
    } else if (flag == "--sync") {
      const std::string sync = value();
      if (sync != "on" && sync != "off") Refuse("--sync must be on or off");
      flags.sync = sync == "on";
    } else if (flag == "--history") {
      flags.whole_history = true;
    } else if (flag == "--without") {
      const std::string name = value();
      const uint32_t before = flags.without;
      for (int kind = 0; kind < kFaultKinds; ++kind) {
        if (ToString(static_cast<FaultKind>(kind)) == name) flags.without |= 1u << kind;
      }
      if (flags.without == before) Refuse("no fault is called \"" + name + "\"");
    } else if (flag == "--plant") {
      const std::string name = value();
      for (int bug = 1; bug < static_cast<int>(PlantedBug::kCount); ++bug) {
        if (ToString(static_cast<PlantedBug>(bug)) == name) {
          flags.plant = static_cast<PlantedBug>(bug);
        }
      }
      if (flags.plant == PlantedBug::kNone) Refuse("no planted bug is called \"" + name + "\"");
    } else {
      Refuse("unknown flag " + flag);
    }
  }
  if (modes != 1) Refuse("give one of --seeds, --seed, --planted, --check-determinism");
  if (flags.jobs == 0) {
    flags.jobs = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  }
  return flags;
}

// "12,345"
std::string Grouped(uint64_t number) {
  std::string text = absl::StrCat(number);
  for (size_t i = text.size(); i > 3; i -= 3) text.insert(i - 3, ",");
  return text;
}

double Percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

// A line that rewrites itself, on a terminal only.
class Progress {
 public:
  void Show(const std::string& line) {
    if (!on_) return;
    std::fprintf(stderr, "\r\033[K%s", line.c_str());
    std::fflush(stderr);
  }
  void Clear() { Show(""); }

 private:
  bool on_ = isatty(STDERR_FILENO) == 1;
};

FleetOptions FleetOf(const Flags& flags, uint64_t first, uint64_t seeds) {
  FleetOptions options;
  options.first_seed = first;
  options.seeds = seeds;
  options.jobs = static_cast<int>(std::min<uint64_t>(static_cast<uint64_t>(flags.jobs), seeds));
  options.run.sync = flags.sync;
  options.run.without = flags.without;
  return options;
}

std::string Reproduction(const Flags& flags, uint64_t seed) {
  std::string line = absl::StrCat("./x sim --seed ", seed);
  if (!flags.sync) absl::StrAppend(&line, " --sync off");
  for (int kind = 0; kind < kFaultKinds; ++kind) {
    if (((flags.without >> kind) & 1) == 0) continue;
    absl::StrAppend(&line, " --without \"", std::string(ToString(static_cast<FaultKind>(kind))),
                    "\"");
  }
  if (flags.plant != PlantedBug::kNone) {
    absl::StrAppend(&line, " --plant \"", std::string(ToString(flags.plant)), "\"");
  }
  return line;
}

// What is wrong with a seed, beyond its violations.
std::vector<std::string> ProblemsOf(const RunReport& report) {
  std::vector<std::string> problems = report.violations;
  if (!problems.empty()) return problems;
  if (report.operations < kOperationsMin || report.acknowledged * 2 < report.operations) {
    problems.push_back(absl::StrCat("too little was done: ", report.operations, " operations, ",
                                    report.acknowledged, " acknowledged"));
  }
  return problems;
}

int RunSeeds(const Flags& flags) {
  const auto started = std::chrono::steady_clock::now();
  Progress progress;
  uint64_t done = 0, failed = 0, operations = 0, acknowledged = 0, simulated_ms = 0, exempted = 0;
  uint64_t with_siblings = 0, with_losses = 0;
  std::array<uint64_t, kFaultKinds> seeds_with_fault{};
  RunFleet(FleetOf(flags, flags.first_seed, *flags.seeds), [&](const RunReport& report) {
    ++done;
    operations += report.operations;
    acknowledged += report.acknowledged;
    simulated_ms += report.simulated_ms;
    exempted += report.exempted;
    with_siblings += report.siblings_max > 1;
    with_losses += report.crashes_that_lost > 0;
    for (int kind = 0; kind < kFaultKinds; ++kind) {
      seeds_with_fault[kind] += report.faults[kind] > 0;
    }
    const std::vector<std::string> problems = ProblemsOf(report);
    if (!problems.empty()) {
      ++failed;
      progress.Clear();
      std::printf(
          "seed %lu: %s%s\n  reproduce: %s\n", report.seed, problems[0].c_str(),
          problems.size() > 1 ? absl::StrCat(" (and ", problems.size() - 1, " more)").c_str() : "",
          Reproduction(flags, report.seed).c_str());
      std::fflush(stdout);
    }
    progress.Show(absl::StrFormat("seed %d: %d of %d, %d with violations", report.seed, done,
                                  *flags.seeds, failed));
    return true;
  });
  progress.Clear();
  const double real =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  const double simulated = static_cast<double>(simulated_ms) / 1000;

  std::printf("faults met, in %% of the seeds:");
  for (int kind = 0; kind < kFaultKinds; ++kind) {
    std::printf("%s %s %.0f", kind == 0 ? "" : ",",
                std::string(ToString(static_cast<FaultKind>(kind))).c_str(),
                Percent(seeds_with_fault[kind], done));
  }
  std::printf("\n");
  bool ok = failed == 0;
  std::string remark;
  if (done >= kSeedsForShares) {
    if (static_cast<double>(with_siblings) < kShareMin * static_cast<double>(done)) {
      remark = "; FAILED: too few seeds with siblings";
      ok = false;
    }
    if (static_cast<double>(with_losses) < kShareMin * static_cast<double>(done)) {
      remark = "; FAILED: too few seeds with a crash that lost unsynced writes";
      ok = false;
    }
  }
  std::printf(
      "%s: %s seeds (%lu..%lu), %lu with violations; %s operations, %.1f %% acknowledged, %lu "
      "exempt; siblings in %.0f %%, crashes that lost unsynced writes in %.0f %%; %.1f simulated "
      "hours in %.1f s, %s times real time%s\n",
      ok ? "sim" : "sim FAILED", Grouped(done).c_str(), flags.first_seed,
      flags.first_seed + done - 1, failed, Grouped(operations).c_str(),
      Percent(acknowledged, operations), exempted, Percent(with_siblings, done),
      Percent(with_losses, done), simulated / 3600, real,
      Grouped(static_cast<uint64_t>(simulated / real)).c_str(), remark.c_str());
  return ok ? 0 : 1;
}

int RunOneSeed(const Flags& flags) {
  const RunOptions options{.sync = flags.sync, .keep_story = true, .without = flags.without};
  const auto started = std::chrono::steady_clock::now();
  const RunReport report = RunSeed(*flags.seed, options);
  const double real =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  for (const std::string& line : report.story) std::printf("%s\n", line.c_str());
  const std::vector<std::string> problems = ProblemsOf(report);
  for (const std::string& problem : problems) std::printf("VIOLATION: %s\n", problem.c_str());
  if (!report.violation_history.empty()) {
    size_t lines = 0;
    size_t end = 0;
    while (end < report.violation_history.size() &&
           (flags.whole_history || lines < kHistoryLinesMax)) {
      end = report.violation_history.find('\n', end) + 1;
      ++lines;
    }
    std::printf("%s", report.violation_history.substr(0, end).c_str());
    if (end < report.violation_history.size()) std::printf("  ... (all of it: --history)\n");
  }
  std::printf(
      "%s operations, %.1f %% acknowledged; at most %lu siblings; %lu crashes, of which %lu lost "
      "%lu unsynced batches; %lu failed commits; %lu writes at several minters, %lu exempt; %s "
      "events, %s messages; %.1f simulated seconds in %.3f s, %s times real time\n",
      Grouped(report.operations).c_str(), Percent(report.acknowledged, report.operations),
      report.siblings_max, report.crashes, report.crashes_that_lost, report.batches_lost,
      report.commits_failed, report.several_minters, report.exempted,
      Grouped(report.events).c_str(), Grouped(report.messages).c_str(),
      static_cast<double>(report.simulated_ms) / 1000, real,
      Grouped(static_cast<uint64_t>(static_cast<double>(report.simulated_ms) / 1000 / real))
          .c_str());
  std::printf("trace hash: %016lx\n", report.trace_hash);
  return problems.empty() ? 0 : 1;
}

int RunPlanted(const Flags& flags) {
  Progress progress;
  int caught = 0, bugs = 0;
  uint64_t most = 0;
  for (int i = 1; i < static_cast<int>(PlantedBug::kCount); ++i) {
    const auto bug = static_cast<PlantedBug>(i);
    const std::string name(ToString(bug));
    ++bugs;
    progress.Show(absl::StrCat("planting: ", name));
    Planter::Plant(bug);
    std::optional<uint64_t> seed;
    std::string how;
    RunFleet(FleetOf(flags, flags.first_seed, kPlantedSeedsMax), [&](const RunReport& report) {
      if (report.violations.empty()) return true;
      seed = report.seed;
      how = report.violations[0];
      return false;
    });
    Planter::Plant(PlantedBug::kNone);
    progress.Clear();
    if (!seed.has_value()) {
      std::printf("%-34s SURVIVED %lu seeds\n", name.c_str(), kPlantedSeedsMax);
      continue;
    }
    ++caught;
    const uint64_t took = *seed - flags.first_seed + 1;
    most = std::max(most, took);
    std::printf("%-34s caught by seed %lu, after %lu: %s\n", name.c_str(), *seed, took,
                how.c_str());
    std::fflush(stdout);
  }
  std::printf("%s: %d of %d planted bugs caught, each within %lu seeds\n",
              caught == bugs ? "planted" : "planted FAILED", caught, bugs, most);
  return caught == bugs ? 0 : 1;
}

int RunTwice(const Flags& flags) {
  const uint64_t seeds = std::max<uint64_t>(1, *flags.determinism);
  std::vector<uint64_t> hashes;
  std::vector<uint64_t> differ;
  RunFleet(FleetOf(flags, flags.first_seed, seeds), [&](const RunReport& report) {
    hashes.push_back(report.trace_hash);
    return true;
  });
  // Once more, with other neighbours in the same memory.
  FleetOptions again = FleetOf(flags, flags.first_seed, seeds);
  again.jobs = again.jobs == 1 ? 2 : 1;
  RunFleet(again, [&](const RunReport& report) {
    if (hashes[report.seed - flags.first_seed] != report.trace_hash) {
      differ.push_back(report.seed);
      std::printf("seed %lu: trace hashes %016lx and %016lx\n", report.seed,
                  hashes[report.seed - flags.first_seed], report.trace_hash);
    }
    return true;
  });
  std::printf("%s: %lu seeds run twice, %lu with different trace hashes\n",
              differ.empty() ? "determinism" : "determinism FAILED", seeds, differ.size());
  return differ.empty() ? 0 : 1;
}

int Main(int argc, char** argv) {
  const Flags flags = Parse(argc, argv);
  Planter::Plant(flags.plant);
  if (flags.seeds.has_value()) return RunSeeds(flags);
  if (flags.seed.has_value()) return RunOneSeed(flags);
  if (flags.planted) return RunPlanted(flags);
  return RunTwice(flags);
}

}  // namespace
}  // namespace annulus::sim

int main(int argc, char** argv) { return annulus::sim::Main(argc, argv); }
