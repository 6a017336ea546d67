#include <unistd.h>

#include <cstdio>
#include <memory>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/commands/commands.h"
#include "cli/duration.h"
#include "cli/encoding.h"
#include "cli/table.h"

namespace annulus::cli {
namespace {

using nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;
using admin::v1::StatusResponse;

constexpr std::chrono::milliseconds kWaitDefault(600000);
constexpr std::chrono::milliseconds kPollInterval(200);

// What every node that answers keeps for others.
struct Kept {
  struct Line {
    std::string holder;
    std::string target;
    uint64_t entries = 0;
    uint64_t bytes = 0;
  };
  std::vector<Line> lines;
  std::vector<std::string> silent;  // Members that could not be asked: they may keep hints, too.

  uint64_t entries() const {
    uint64_t sum = 0;
    for (const Line& line : lines) sum += line.entries;
    return sum;
  }
  bool none() const { return lines.empty() && silent.empty(); }
};

// The addresses of all members, from the first endpoint that answers.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> MembersOf(
    const ClientOptions& options) {
  absl::Status last = absl::UnavailableError("no endpoint is configured");
  for (const std::string& endpoint : options.endpoints) {
    absl::StatusOr<StatusResponse> status = StatusOf(endpoint, options.connect_timeout);
    if (!status.ok()) {
      last = status.status();
      continue;
    }
    if (status->members().empty()) {
      last = absl::UnavailableError(
          absl::StrCat(endpoint, " has no layout yet: ", status->not_ready_reason()));
      continue;
    }
    std::vector<std::pair<std::string, std::string>> members;
    for (const auto& member : status->members()) {
      members.emplace_back(member.name(), member.client_address());
    }
    return members;
  }
  return last;
}

Kept Ask(const std::vector<std::pair<std::string, std::string>>& members,
         std::chrono::milliseconds timeout) {
  Kept kept;
  for (const auto& [name, address] : members) {
    absl::StatusOr<StatusResponse> status = StatusOf(address, timeout);
    if (!status.ok()) {
      kept.silent.push_back(name);
      continue;
    }
    for (const auto& member : status->members()) {
      if (member.hints().entries() == 0) continue;
      kept.lines.push_back({name, member.name(), member.hints().entries(), member.hints().bytes()});
    }
  }
  return kept;
}

void Print(const Kept& kept, bool json) {
  if (json) {
    ordered_json hints = ordered_json::array();
    for (const Kept::Line& line : kept.lines) {
      hints.push_back({{"holder", line.holder},
                       {"target", line.target},
                       {"entries", line.entries},
                       {"bytes", line.bytes}});
    }
    PrintJson({{"hints", hints}, {"entries", kept.entries()}, {"unreachable", kept.silent}});
    return;
  }
  if (kept.lines.empty()) {
    std::printf("no hints\n");
  } else {
    Table table({"holder", "keeps for", "items", "size"});
    for (const Kept::Line& line : kept.lines) {
      table.Add({Printable(line.holder), Printable(line.target), absl::StrCat(line.entries),
                 HumanBytes(line.bytes)});
    }
    std::fputs(table.ToString().c_str(), stdout);
  }
  for (const std::string& name : kept.silent) {
    std::fprintf(stderr, "annulus: %s does not answer, and may keep hints\n",
                 Printable(name).c_str());
  }
}

int RunHints(Invocation& invocation, bool wait) {
  auto options = invocation.client_options();
  if (!options.ok()) return UsageError(options.status());
  const auto members = MembersOf(*options);
  if (!members.ok()) {
    std::fprintf(stderr, "annulus: %s\n", std::string(members.status().message()).c_str());
    return kExitUnreachable;
  }
  const Clock::time_point deadline =
      Clock::now() + (invocation.timeout.empty() ? kWaitDefault : options->timeout);
  Kept kept = Ask(*members, options->connect_timeout);
  const bool shows_progress = wait && !invocation.json() && isatty(STDERR_FILENO) != 0;
  while (wait && !kept.none() && Clock::now() < deadline) {
    if (shows_progress) {
      std::fprintf(
          stderr, "\r%s",
          absl::StrFormat("%-60s", absl::StrFormat("%d hints left, %d members do not answer",
                                                   kept.entries(), kept.silent.size()))
              .c_str());
    }
    std::this_thread::sleep_for(kPollInterval);
    kept = Ask(*members, options->connect_timeout);
  }
  if (shows_progress) std::fprintf(stderr, "\r%60s\r", "");
  Print(kept, invocation.json());
  if (!wait) return kExitOk;
  if (!kept.none()) {
    std::fprintf(stderr,
                 "annulus: the time is over and hints are left, or members do not answer\n");
  }
  return kept.none() ? kExitOk : kExitFailed;
}

}  // namespace

void AddHints(CLI::App& app, Invocation& invocation) {
  auto wait = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(
      app, invocation, "hints", "Show what nodes keep for members that did not answer",
      "  annulus hints\n"
      "  annulus hints --wait --timeout 5m   # until every node answers, and keeps nothing\n"
      "  annulus hints -o json | jq .entries\n"
      "Exit code with --wait, 0: all hints are delivered. 1: not within --timeout (default: 10m).",
      [&invocation, wait] { return RunHints(invocation, *wait); });
  command->add_flag("--wait", *wait, "wait until all are delivered");
  AddOutputFlag(command, invocation);
  AddConnectionFlags(command, invocation);
}

}  // namespace annulus::cli
