#include <cstdio>
#include <future>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/commands/commands.h"
#include "cli/duration.h"
#include "cli/encoding.h"
#include "cli/failure.h"
#include "cli/table.h"

namespace annulus::cli {
namespace {

using nlohmann::ordered_json;
using Answer = absl::StatusOr<admin::v1::StatusResponse>;

// All at once: each that is down would cost a timeout.
std::vector<Answer> AskAll(const ClientOptions& options) {
  std::vector<std::future<Answer>> questions;
  for (const std::string& endpoint : options.endpoints) {
    questions.push_back(std::async(std::launch::async, StatusOf, endpoint,
                                   std::min(options.timeout, options.connect_timeout)));
  }
  std::vector<Answer> answers;
  for (auto& question : questions) answers.push_back(question.get());
  return answers;
}

ordered_json AsJson(const std::vector<std::string>& endpoints, const std::vector<Answer>& answers) {
  ordered_json processes = ordered_json::array();
  for (size_t i = 0; i < answers.size(); ++i) {
    ordered_json process = {{"endpoint", endpoints[i]}, {"reachable", answers[i].ok()}};
    if (!answers[i].ok()) {
      process["error"] = std::string(answers[i].status().message());
      processes.push_back(process);
      continue;
    }
    const admin::v1::StatusResponse& status = *answers[i];
    process["cluster"] = status.cluster();
    process["name"] = status.name();
    process["role"] = status.role();
    process["node_id"] = HexId(status.node_id());
    process["incarnation"] = HexId(status.incarnation());
    process["layout_version"] = status.layout_version();
    process["version"] = status.version();
    process["uptime_s"] = status.uptime_s();
    process["ready"] = status.ready();
    if (!status.ready()) process["not_ready_reason"] = status.not_ready_reason();
    process["notices"] = ordered_json::array();
    for (const std::string& notice : status.notices()) process["notices"].push_back(notice);
    process["sync"] = status.sync();
    process["faults_enabled"] = status.faults_enabled();
    if (status.faults_enabled()) process["faults_active"] = status.faults_active();
    if (status.has_convergence()) {
      const admin::v1::Convergence& convergence = status.convergence();
      process["convergence"] = {{"partitions", convergence.partitions()},
                                {"never", convergence.never()},
                                {"age_ms", convergence.age_ms()},
                                {"since_us", convergence.since_us()}};
    }
    if (status.has_hints()) {
      process["hints"] = {{"entries", status.hints().entries()}, {"bytes", status.hints().bytes()}};
    }
    if (status.has_reaping()) {
      const admin::v1::Reaping& reaping = status.reaping();
      process["reaping"] = {{"untold", reaping.untold()},
                            {"rebuilding", reaping.rebuilding()},
                            {"blocked", reaping.blocked()},
                            {"blocked_by", ordered_json::array()}};
      for (const std::string& name : reaping.blocked_by()) {
        process["reaping"]["blocked_by"].push_back(name);
      }
    }
    process["members"] = ordered_json::array();
    for (const auto& member : status.members()) {
      process["members"].push_back({{"name", member.name()},
                                    {"node_id", HexId(member.node_id())},
                                    {"client", member.client_address()},
                                    {"peer", member.peer_address()},
                                    {"zone", member.zone()},
                                    {"state", member.state()},
                                    {"gossip", member.gossip()},
                                    {"incarnation", HexId(member.incarnation())},
                                    {"partitions", member.partitions()}});
    }
    processes.push_back(process);
  }
  return {{"processes", processes}};
}

// Until when its partitions are known to be equal on all of their owners.
std::string LevelOf(const admin::v1::StatusResponse& status) {
  if (!status.has_convergence()) return "-";
  const admin::v1::Convergence& convergence = status.convergence();
  if (convergence.never() > 0) {
    return absl::StrCat("never: ", convergence.never(), " of ", convergence.partitions());
  }
  return absl::StrCat(HumanDuration(static_cast<double>(convergence.age_ms()) / 1000), " ago");
}

void PrintTables(const std::vector<std::string>& endpoints, const std::vector<Answer>& answers) {
  Table processes(
      {"endpoint", "process", "role", "state", "layout", "sync", "level", "up since", "version"});
  // Members by name; what each process that answered says of them.
  std::map<std::string, admin::v1::MemberStatus> members;
  std::map<std::string, std::map<std::string, std::set<std::string>>> views;
  std::set<std::string> clusters;
  std::string faults, notices;
  std::string rebuilds;
  std::set<std::string> blocked_by;
  for (size_t i = 0; i < answers.size(); ++i) {
    if (!answers[i].ok()) {
      processes.Add({endpoints[i], "-", "-", "unreachable", "-", "-", "-", "-", "-"});
      continue;
    }
    const auto& status = *answers[i];
    clusters.insert(Printable(status.cluster()));
    processes.Add({endpoints[i], Printable(status.name()), Printable(status.role()),
                   status.ready()
                       ? "ready"
                       : absl::StrCat("not ready: ", Printable(status.not_ready_reason())),
                   absl::StrCat(status.layout_version()),
                   status.role() == "coordinator" ? "-"
                   : status.sync()                ? "on"
                                                  : "OFF",
                   LevelOf(status), HumanDuration(static_cast<double>(status.uptime_s())),
                   Printable(status.version())});
    if (status.faults_enabled()) {
      absl::StrAppend(&faults, faults.empty() ? "" : ", ", Printable(status.name()), " (",
                      status.faults_active(), " set)");
    }
    if (status.reaping().rebuilding() > 0) {
      absl::StrAppend(&rebuilds, rebuilds.empty() ? "" : ", ", Printable(status.name()), " (",
                      status.reaping().rebuilding(), " partitions)");
    }
    for (const std::string& name : status.reaping().blocked_by()) {
      blocked_by.insert(Printable(name));
    }
    for (const std::string& notice : status.notices()) {
      absl::StrAppend(&notices, "\nNOTICE of ", Printable(status.name()), ": ", Printable(notice));
    }
    for (const auto& member : status.members()) {
      members.emplace(member.name(), member);
      views[member.name()][member.state()].insert(Printable(status.name()));
    }
  }
  std::string names;
  for (const std::string& cluster : clusters) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", cluster);
  }
  if (!clusters.empty()) std::printf("cluster %s\n\n", names.c_str());
  std::fputs(processes.ToString().c_str(), stdout);
  if (!notices.empty()) std::printf("%s\n", notices.c_str());
  if (!faults.empty()) {
    std::printf("\nFAULTS ARE ENABLED on %s: not for production; see `annulus faults --help`\n",
                faults.c_str());
  }
  if (!rebuilds.empty()) {
    std::printf("\nrebuilding from the other owners: %s; takes writes, counts for no read\n",
                rebuilds.c_str());
  }
  if (!blocked_by.empty()) {
    std::printf("\ntombstones wait to be deleted until these answer again: %s\n",
                absl::StrJoin(blocked_by, ", ").c_str());
  }
  if (members.empty()) return;

  Table table({"member", "node id", "client", "peer", "zone", "partitions", "seen"});
  for (const auto& [name, member] : members) {
    std::string seen;
    const auto& states = views[name];
    // What others see; its own word counts where nobody else was asked.
    const size_t others = states.size() - states.count("self");
    for (const auto& [state, by] : states) {
      if (state == "self" && others > 0) continue;
      absl::StrAppend(&seen, seen.empty() ? "" : ", ", state == "self" ? "up" : Printable(state));
      if (others > 1) absl::StrAppend(&seen, " by ", absl::StrJoin(by, "+"));
    }
    table.Add({Printable(name), member.node_id() == 0 ? "-" : HexId(member.node_id()),
               Printable(member.client_address()), Printable(member.peer_address()),
               member.zone().empty() ? "-" : Printable(member.zone()),
               absl::StrCat(member.partitions()), seen});
  }
  std::printf("\n%s", table.ToString().c_str());
}

int RunStatus(Invocation& invocation) {
  auto options = invocation.client_options();
  if (!options.ok()) return UsageError(options.status());
  const std::vector<Answer> answers = AskAll(*options);
  size_t answered = 0, ready = 0;
  for (const Answer& answer : answers) {
    answered += answer.ok();
    ready += answer.ok() && answer->ready();
  }
  if (invocation.json()) {
    PrintJson(AsJson(options->endpoints, answers));
  } else {
    PrintTables(options->endpoints, answers);
  }
  for (size_t i = 0; i < answers.size(); ++i) {
    if (answers[i].ok()) continue;
    std::fprintf(stderr, "annulus: %s\n",
                 Describe(options->endpoints[i], answers[i].status()).c_str());
  }
  if (answered == 0) return kExitUnreachable;
  return ready == answers.size() ? kExitOk : kExitFailed;
}

}  // namespace

void AddStatus(CLI::App& app, Invocation& invocation) {
  CLI::App* command = AddCommand(
      app, invocation, "status", "Ask every endpoint how it is, and how it sees the members",
      "  annulus status\n"
      "  annulus status --endpoints node-1:50051,node-2:50051,node-3:50051\n"
      "  annulus status -o json | jq '.processes[].ready'\n"
      "Exit code 0: all endpoints are ready. 1: some are not. 6: none could be reached.",
      [&invocation] { return RunStatus(invocation); });
  AddOutputFlag(command, invocation);
  AddConnectionFlags(command, invocation);
}

}  // namespace annulus::cli
