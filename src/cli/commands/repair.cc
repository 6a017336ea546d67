#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands/commands.h"
#include "cli/duration.h"
#include "cli/encoding.h"

namespace annulus::cli {
namespace {

using nlohmann::ordered_json;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kAskAgain{500};

struct RepairFlags {
  std::optional<uint32_t> partition;
  bool wait = false;
  std::string at_most;
};

milliseconds Since(steady_clock::time_point start) {
  return std::chrono::duration_cast<milliseconds>(steady_clock::now() - start);
}

std::string MissingOf(const admin::v1::RepairResponse& answer) {
  std::vector<std::string> names;
  for (const std::string& name : answer.missing()) names.push_back(Printable(name));
  return absl::StrJoin(names, ", ");
}

void Print(const Invocation& invocation, const RepairFlags& flags,
           const admin::v1::RepairResponse& answer, milliseconds took) {
  if (invocation.json()) {
    PrintJson({{"partitions", answer.partitions()},
               {"level", answer.level()},
               {"missing", answer.missing()},
               {"waited", flags.wait},
               {"elapsed_ms", took.count()}});
    return;
  }
  if (!flags.wait) {
    std::printf("the owners of %u partitions compare them now; `annulus repair --wait` waits\n",
                answer.partitions());
  } else if (answer.level() == answer.partitions()) {
    std::printf("%u partitions are equal on all of their owners (%s)\n", answer.partitions(),
                HumanDuration(std::chrono::duration<double>(took).count()).c_str());
  } else {
    std::printf("%u of %u partitions are equal on all of their owners\n", answer.level(),
                answer.partitions());
  }
}

int RunRepair(Invocation& invocation, const RepairFlags& flags) {
  auto options = invocation.client_options();
  if (!options.ok()) return UsageError(options.status());
  std::optional<milliseconds> at_most;
  if (!flags.at_most.empty()) {
    auto parsed = ParseDuration(flags.at_most, "--at-most");
    if (!parsed.ok()) return UsageError(parsed.status());
    at_most = *parsed;
  }

  InterruptGuard guard;
  Client client(*options);
  const bool shows = flags.wait && !invocation.json();
  const auto start = steady_clock::now();
  std::string said;
  while (true) {
    admin::v1::RepairRequest request;
    if (flags.partition.has_value()) request.set_partition(*flags.partition);
    request.set_age_ms(static_cast<uint64_t>(Since(start).count()));
    auto answer = client.Repair(request);
    if (!answer.ok()) return Fail(invocation, "repair", answer.status());
    const bool level = answer->level() == answer->partitions();
    const bool over = at_most.has_value() && Since(start) >= *at_most;
    if (!flags.wait || level || over || guard.interrupted()) {
      Print(invocation, flags, *answer, Since(start));
      if (guard.interrupted()) return kExitInterrupted;
      if (!flags.wait || level) return kExitOk;
      std::fprintf(stderr, "annulus: not level within %s%s\n", flags.at_most.c_str(),
                   answer->missing_size() == 0
                       ? ""
                       : absl::StrCat("; no answer from ", MissingOf(*answer)).c_str());
      return kExitFailed;
    }
    std::string line = absl::StrCat(answer->level(), " of ", answer->partitions(), " level");
    if (answer->missing_size() > 0) {
      absl::StrAppend(&line, "; waiting for ", MissingOf(*answer));
    }
    if (shows && line != said) std::fprintf(stderr, "annulus: %s\n", line.c_str());
    said = std::move(line);
    std::this_thread::sleep_for(kAskAgain);
  }
}

}  // namespace

void AddRepair(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<RepairFlags>();
  CLI::App* command =
      AddCommand(app, invocation, "repair",
                 "Compare all owners of the partitions now, instead of when it is their time",
                 "  annulus repair                    # and return at once\n"
                 "  annulus repair --wait             # until all owners hold the same\n"
                 "  annulus repair --partition 17 --wait --at-most 5m\n"
                 "  annulus repair --wait -o json | jq '.level == .partitions'\n"
                 "Exit code 0: asked for, or with --wait: level. 1: not level within --at-most.",
                 [&invocation, flags] { return RunRepair(invocation, *flags); });
  command->add_option("--partition", flags->partition, "Only this one")
      ->type_name("P")
      ->check(Between(0, 65535));
  command->add_flag("--wait", flags->wait,
                    "Wait until every owner has everything that any owner had at the start");
  command
      ->add_option("--at-most", flags->at_most, "How long to wait (default: as long as it takes)")
      ->type_name("DURATION");
  AddOutputFlag(command, invocation);
  AddConnectionFlags(command, invocation);
}

}  // namespace annulus::cli
