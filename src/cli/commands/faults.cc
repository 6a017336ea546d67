#include <cstdio>
#include <functional>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/commands/commands.h"
#include "cli/duration.h"
#include "cli/encoding.h"
#include "cli/failure.h"
#include "cli/table.h"

namespace annulus::cli {
namespace {

using nlohmann::ordered_json;
using std::chrono::milliseconds;
using Faults = google::protobuf::RepeatedPtrField<admin::v1::Fault>;
// Asks or tells one process; returns what is set there.
using Ask =
    std::function<absl::StatusOr<Faults>(const std::string& endpoint, milliseconds timeout)>;

struct SetFlags {
  std::string peer = "*", direction = "both", delay, jitter, disk_delay, clock_skew, lasts;
  double loss = 0;
  uint64_t bandwidth = 0;
  bool cut = false, disk_full = false, replace = false;
};

absl::Status ReadMicros(const std::string& text, const char* flag, uint64_t* micros) {
  if (text.empty()) return absl::OkStatus();
  auto duration = ParseDuration(text, flag);
  if (!duration.ok()) return duration.status();
  *micros = static_cast<uint64_t>(duration->count()) * 1000;
  return absl::OkStatus();
}

absl::Status ReadLink(const SetFlags& flags, admin::v1::LinkFault* link) {
  link->set_peer(flags.peer);
  if (flags.direction == "out") link->set_direction(admin::v1::FAULT_DIRECTION_OUT);
  if (flags.direction == "in") link->set_direction(admin::v1::FAULT_DIRECTION_IN);
  uint64_t delay_us = 0, jitter_us = 0;
  if (auto status = ReadMicros(flags.delay, "--delay", &delay_us); !status.ok()) return status;
  if (auto status = ReadMicros(flags.jitter, "--jitter", &jitter_us); !status.ok()) return status;
  link->set_delay_us(delay_us);
  link->set_jitter_us(jitter_us);
  link->set_loss(flags.cut ? 1 : flags.loss);
  link->set_bytes_per_second(flags.bandwidth);
  return absl::OkStatus();
}

absl::StatusOr<int64_t> SkewMicros(const std::string& text) {
  const bool back = !text.empty() && text[0] == '-';
  uint64_t micros = 0;
  absl::Status status = ReadMicros(back ? text.substr(1) : text, "--clock-skew", &micros);
  if (!status.ok()) return status;
  return back ? -static_cast<int64_t>(micros) : static_cast<int64_t>(micros);
}

absl::StatusOr<admin::v1::SetFaultsRequest> RequestOf(const SetFlags& flags) {
  admin::v1::SetFaultsRequest request;
  request.set_clear(flags.replace);
  uint64_t lasts_us = 0;
  if (auto status = ReadMicros(flags.lasts, "--for", &lasts_us); !status.ok()) return status;
  const auto add = [&] {
    admin::v1::Fault* fault = request.add_faults();
    fault->set_duration_ms(lasts_us / 1000);
    return fault;
  };
  if (!flags.delay.empty() || !flags.jitter.empty() || flags.loss > 0 || flags.cut ||
      flags.bandwidth > 0) {
    if (auto status = ReadLink(flags, add()->mutable_link()); !status.ok()) return status;
  }
  if (!flags.disk_delay.empty() || flags.disk_full) {
    uint64_t delay_us = 0;
    auto status = ReadMicros(flags.disk_delay, "--disk-delay", &delay_us);
    if (!status.ok()) return status;
    admin::v1::DiskFault* disk = add()->mutable_disk();
    disk->set_commit_delay_us(delay_us);
    disk->set_full(flags.disk_full);
  }
  if (!flags.clock_skew.empty()) {
    auto skew_us = SkewMicros(flags.clock_skew);
    if (!skew_us.ok()) return skew_us.status();
    add()->mutable_clock()->set_skew_us(*skew_us);
  }
  if (request.faults().empty()) {
    return absl::InvalidArgumentError(
        "no fault is given: --delay, --jitter, --loss, --cut, --bandwidth, --disk-delay, "
        "--disk-full or --clock-skew");
  }
  return request;
}

const char* DirectionName(admin::v1::FaultDirection direction) {
  switch (direction) {
    case admin::v1::FAULT_DIRECTION_OUT:
      return "out";
    case admin::v1::FAULT_DIRECTION_IN:
      return "in";
    default:
      return "both";
  }
}

ordered_json AsJson(const admin::v1::Fault& fault) {
  ordered_json json;
  if (fault.has_link()) {
    const auto& link = fault.link();
    json = {{"kind", "link"},
            {"peer", link.peer()},
            {"direction", DirectionName(link.direction())},
            {"delay_us", link.delay_us()},
            {"jitter_us", link.jitter_us()},
            {"loss", link.loss()},
            {"bytes_per_second", link.bytes_per_second()}};
  } else if (fault.has_disk()) {
    json = {{"kind", "disk"},
            {"commit_delay_us", fault.disk().commit_delay_us()},
            {"full", fault.disk().full()}};
  } else {
    json = {{"kind", "clock"}, {"skew_us", fault.clock().skew_us()}};
  }
  if (fault.duration_ms() > 0) json["ends_in_ms"] = fault.duration_ms();
  return json;
}

std::string AsText(const admin::v1::Fault& fault) {
  const auto ms = [](double us) { return absl::StrFormat("%g ms", us / 1000); };
  if (fault.has_disk()) {
    return fault.disk().full()
               ? "full"
               : absl::StrCat("commits later by ", ms(double(fault.disk().commit_delay_us())));
  }
  if (fault.has_clock()) return absl::StrCat("skew ", ms(double(fault.clock().skew_us())));
  const auto& link = fault.link();
  if (link.loss() >= 1) return "cut";
  std::string text;
  const auto say = [&](const std::string& what) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", what);
  };
  if (link.delay_us() > 0) say(absl::StrCat("delay ", ms(double(link.delay_us()))));
  if (link.jitter_us() > 0) say(absl::StrCat("jitter up to ", ms(double(link.jitter_us()))));
  if (link.loss() > 0) say(absl::StrFormat("loss %g %%", link.loss() * 100));
  if (link.bytes_per_second() > 0) say(absl::StrCat(HumanBytes(link.bytes_per_second()), "/s"));
  return text;
}

// All endpoints one after another: a fault is about one process, so there is no failover.
int RunFaults(Invocation& invocation, const Ask& ask) {
  auto options = invocation.client_options();
  if (!options.ok()) return UsageError(options.status());
  ordered_json processes = ordered_json::array();
  Table table({"endpoint", "fault", "peer", "direction", "what", "ends in"});
  int code = kExitOk;
  for (const std::string& endpoint : options->endpoints) {
    const absl::StatusOr<Faults> faults = ask(endpoint, options->timeout);
    ordered_json process = {{"endpoint", endpoint}};
    if (!faults.ok()) {
      std::fprintf(stderr, "annulus: %s\n", Describe(endpoint, faults.status()).c_str());
      process["error"] = std::string(faults.status().message());
      code = ExitCodeFor(faults.status());
    } else {
      process["faults"] = ordered_json::array();
      for (const admin::v1::Fault& fault : *faults) {
        process["faults"].push_back(AsJson(fault));
        table.Add({endpoint,
                   fault.has_link()   ? "link"
                   : fault.has_disk() ? "disk"
                                      : "clock",
                   fault.has_link() ? Printable(fault.link().peer()) : "-",
                   fault.has_link() ? DirectionName(fault.link().direction()) : "-", AsText(fault),
                   fault.duration_ms() == 0 ? "-" : HumanDuration(fault.duration_ms() / 1000.0)});
      }
    }
    processes.push_back(process);
  }
  if (invocation.json()) {
    PrintJson({{"processes", processes}});
  } else if (!table.empty()) {
    std::fputs(table.ToString().c_str(), stdout);
  } else if (code == kExitOk) {
    std::puts("no faults are set");
  }
  return code;
}

absl::StatusOr<Faults> Tell(const std::string& endpoint, const admin::v1::SetFaultsRequest& request,
                            milliseconds timeout) {
  auto response = SetFaults(endpoint, request, timeout);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_faults());
}

int RunSet(Invocation& invocation, const SetFlags& flags) {
  auto request = RequestOf(flags);
  if (!request.ok()) return UsageError(request.status());
  return RunFaults(invocation, [&](const std::string& endpoint, milliseconds timeout) {
    return Tell(endpoint, *request, timeout);
  });
}

int RunClear(Invocation& invocation) {
  admin::v1::SetFaultsRequest request;
  request.set_clear(true);
  return RunFaults(invocation, [&](const std::string& endpoint, milliseconds timeout) {
    return Tell(endpoint, request, timeout);
  });
}

int RunShow(Invocation& invocation) {
  return RunFaults(invocation,
                   [](const std::string& endpoint, milliseconds timeout) -> absl::StatusOr<Faults> {
                     auto response = GetFaults(endpoint, timeout);
                     if (!response.ok()) return response.status();
                     return std::move(*response->mutable_faults());
                   });
}

void AddSet(CLI::App& faults, Invocation& invocation) {
  auto flags = std::make_shared<SetFlags>();
  CLI::App* command = AddCommand(
      faults, invocation, "set", "Set faults in every endpoint given",
      "  annulus faults set --endpoints node-1:50051 --peer node-2 --cut --for 30s\n"
      "  annulus faults set --endpoints node-1:50051 --delay 100ms --jitter 50ms --loss 0.01\n"
      "  annulus faults set --endpoints node-1:50051 --peer node-2 --direction in --cut\n"
      "  annulus faults set --endpoints node-1:50051 --disk-delay 200ms --clock-skew -10m\n"
      "A fault replaces the one of the same peer and direction, of the disk, or of the clock.",
      [&invocation, flags] { return RunSet(invocation, *flags); });
  const auto add_text = [&](const char* flag, std::string* to, const char* help) {
    return command->add_option(flag, *to, help)->type_name("TIME");
  };
  command
      ->add_option("--peer", flags->peer,
                   "whose messages: a member's name, a node id in hex, or * (default: *)")
      ->type_name("NAME");
  command->add_option("--direction", flags->direction, "which of them (default: both)")
      ->type_name("out|in|both")
      ->check(OneOf({"out", "in", "both"}));
  add_text("--delay", &flags->delay, "hold each message so long");
  add_text("--jitter", &flags->jitter, "up to so much longer, evenly spread");
  command->add_option("--loss", flags->loss, "lose this share of the messages, 0 to 1")
      ->type_name("SHARE")
      ->check(CLI::Range(0.0, 1.0).description(""));
  command->add_flag("--cut", flags->cut, "lose all of them");
  command->add_option("--bandwidth", flags->bandwidth, "let so many bytes a second pass")
      ->type_name("BYTES");
  add_text("--disk-delay", &flags->disk_delay, "begin each commit so much later");
  command->add_flag("--disk-full", flags->disk_full, "refuse every commit as RESOURCE_EXHAUSTED");
  add_text("--clock-skew", &flags->clock_skew, "add so much to the wall clock; -10m: subtract it");
  add_text("--for", &flags->lasts, "end by itself after so long (default: until cleared)");
  command->add_flag("--replace", flags->replace, "clear all other faults first");
  AddOutputFlag(command, invocation);
  AddConnectionFlags(command, invocation);
}

}  // namespace

void AddFaults(CLI::App& app, Invocation& invocation) {
  CLI::App* faults = app.add_subcommand(
      "faults", "Break a process on purpose: only where it runs with --enable-faults");
  faults->require_subcommand(1);
  faults->footer(
      "Examples:\n"
      "  annulus faults set --endpoints node-1:50051 --peer node-2 --cut --for 30s\n"
      "  annulus faults show --endpoints node-1:50051,node-2:50051\n"
      "  annulus faults clear --endpoints node-1:50051,node-2:50051\n"
      "Messages are held or lost above the connection, which stays up. Ends with 0 where every "
      "endpoint\nhas answered.");
  AddSet(*faults, invocation);
  CLI::App* clear =
      AddCommand(*faults, invocation, "clear", "End all faults in every endpoint given",
                 "  annulus faults clear --endpoints node-1:50051,node-2:50051",
                 [&invocation] { return RunClear(invocation); });
  CLI::App* show =
      AddCommand(*faults, invocation, "show", "List the faults of every endpoint given",
                 "  annulus faults show --endpoints node-1:50051 -o json",
                 [&invocation] { return RunShow(invocation); });
  for (CLI::App* command : {clear, show}) {
    AddOutputFlag(command, invocation);
    AddConnectionFlags(command, invocation);
  }
}

}  // namespace annulus::cli
