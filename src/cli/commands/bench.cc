#include <functional>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "adapters/loop/cq_loop.h"
#include "cli/commands/commands.h"
#include "cli/duration.h"
#include "client/session.h"
#include "load/annulus_target.h"
#include "load/driver.h"
#include "load/run.h"
#include "load/workload.h"

namespace annulus::cli {
namespace {

struct BenchFlags {
  std::string duration = "30s";
  std::string warm_up = "0s";
  std::string workload;
  load::Mix mix;
  double reads = -1;
  std::string choice;
  uint64_t keys = 100'000;
  uint64_t seed = 1;
  bool fill = false;
  std::string mode = "pipeline";
  bool endpoints_only = false;
  load::DriverOptions driver{.clients = 256};
  load::AnnulusTargetOptions target;
};

std::optional<load::Choice> ChoiceNamed(const std::string& name) {
  if (name == "uniform") return load::Choice::kUniform;
  if (name == "zipfian") return load::Choice::kZipfian;
  if (name == "latest") return load::Choice::kLatest;
  return std::nullopt;
}

// --workload first, then what other flags say.
load::YcsbWorkload WorkloadOf(const BenchFlags& flags) {
  load::YcsbWorkload workload{flags.mix, load::Choice::kUniform};
  if (const auto named = load::YcsbNamed(flags.workload)) workload = *named;
  if (flags.reads >= 0) workload.mix = {.read = flags.reads, .update = 1 - flags.reads};
  if (const auto choice = ChoiceNamed(flags.choice)) workload.choice = *choice;
  return workload;
}

SessionOptions SessionOptionsOf(const Invocation& invocation, const BenchFlags& flags,
                                ClientOptions client) {
  SessionOptions options{.client = std::move(client)};
  // What is counted is the first RPC of each operation.
  if (!invocation.retries.has_value()) options.client.retries = 0;
  options.operations_max = flags.driver.clients * flags.driver.group;
  options.batch_operations = flags.driver.group;
  options.finds_owners = !flags.endpoints_only;
  if (flags.mode == "unary") options.door = Door::kUnary;
  if (flags.mode == "batch") options.door = Door::kBatch;
  return options;
}

// Runs the loop until the session can be used, or cannot.
absl::Status Connect(CqLoop* loop, Session* session, const ClientOptions& client,
                     bool finds_owners) {
  const Instant give_up = loop->Now() + client.timeout;
  // The owners are found a moment after the first connection; the run should not begin without.
  const Instant settled_by = loop->Now() + 1s;
  std::function<void()> look = [&] {
    const Instant now = loop->Now();
    const bool knows = !finds_owners || session->knows_owners() || now >= settled_by;
    const bool settled = session->decided() && knows;
    if (settled || now >= give_up) return loop->Stop();
    loop->PostAt(now + 5ms, [&] { look(); });
  };
  loop->Post([&] { look(); });
  loop->Run();
  if (session->lanes_up() > 0) return absl::OkStatus();
  return UnreachableError(absl::StrCat("no connection to ", absl::StrJoin(client.endpoints, ", ")),
                          CallKind::kRead);
}

int Report(const Invocation& invocation, const load::RunResult& result) {
  if (invocation.json()) {
    PrintJson({{"total", load::ToJson(result.total, result.seconds)}});
  } else {
    load::Print(result.total, result.seconds);
  }
  return result.total.failed == 0 ? kExitOk : kExitFailed;
}

int RunBench(Invocation& invocation, BenchFlags flags) {
  auto client = invocation.client_options();
  if (!client.ok()) return UsageError(client.status());
  auto duration = ParseDuration(flags.duration, "--duration");
  if (!duration.ok()) return UsageError(duration.status());
  auto warm_up = ParseDuration(flags.warm_up, "--warm-up");
  if (!warm_up.ok()) return UsageError(warm_up.status());
  const load::YcsbWorkload chosen = WorkloadOf(flags);
  flags.target.keys = flags.keys;
  flags.target.seed = flags.seed + 1;
  if (chosen.mix.scan > 0) flags.target.items_per_key = 2 * flags.target.scan_items;

  InterruptGuard interrupt;
  CqLoop loop;
  Session session(&loop, SessionOptionsOf(invocation, flags, *client));
  if (absl::Status status = Connect(&loop, &session, *client, !flags.endpoints_only);
      !status.ok()) {
    return Fail(invocation, "bench", status);
  }
  load::AnnulusTarget target(&session, flags.target);
  load::Workload workload(chosen.mix, chosen.choice, flags.keys, flags.seed);
  load::Driver driver(&loop, &target, &workload, flags.driver);
  const load::RunOptions run{.fill_keys = flags.fill ? flags.keys : 0,
                             .warm_up = *warm_up,
                             .duration = *duration,
                             .json = invocation.json()};
  const load::RunResult result =
      load::RunLoad(&loop, &driver, run, [&] { return interrupt.interrupted(); });
  if (!result.filled) {
    std::string why;
    for (const auto& [what, count] : result.total.failures) {
      absl::StrAppend(&why, why.empty() ? "" : ", ", count, " x ", what);
    }
    return Fail(invocation, "bench",
                absl::UnavailableError(
                    absl::StrCat("some keys could not be written before the run: ", why)));
  }
  const int code = Report(invocation, result);
  return interrupt.interrupted() ? kExitInterrupted : code;
}

void AddWorkloadFlags(CLI::App* command, BenchFlags* flags) {
  command
      ->add_option("--workload", flags->workload,
                   "YCSB's core workload: a (updates), b (mostly reads), c (reads), d (latest), e "
                   "(scans), f (read-modify-write)")
      ->type_name("LETTER")
      ->check(OneOf({"a", "b", "c", "d", "e", "f"}));
  const auto share = [&](const char* name, double* value, const char* what) {
    command->add_option(name, *value, what)
        ->type_name("SHARE")
        ->check(CLI::Range(0.0, 1e6).description(""));
  };
  command->add_option("--reads", flags->reads, "share of gets; the rest are puts (default: 0.5)")
      ->type_name("SHARE")
      ->check(CLI::Range(0.0, 1.0).description(""));
  share("--mix-read", &flags->mix.read, "of a mix of your own: weight of gets (default: 0.5)");
  share("--mix-update", &flags->mix.update, "puts to keys that are there (default: 0.5)");
  share("--mix-insert", &flags->mix.insert, "puts to new keys (default: 0)");
  share("--mix-scan", &flags->mix.scan, "scans of the items of one key (default: 0)");
  share("--mix-modify", &flags->mix.modify, "gets followed by a put (default: 0)");
  command
      ->add_option("--distribution", flags->choice,
                   "how keys are chosen: uniform (default), zipfian, latest")
      ->type_name("NAME")
      ->check(OneOf({"uniform", "zipfian", "latest"}));
  command->add_option("--keys", flags->keys, "how many keys (default: 100000)")
      ->type_name("N")
      ->check(Between(1, 1'000'000'000));
  command->add_option("--value-bytes", flags->target.value_bytes, "size of values (default: 100)")
      ->type_name("N")
      ->check(Between(0, 1 << 20));
  command->add_option("-b,--bucket", flags->target.bucket, "the bucket (default: bench)")
      ->type_name("NAME");
  command->add_option("--prefix", flags->target.prefix, "what keys begin with (default: nothing)")
      ->type_name("TEXT");
  command->add_option("--seed", flags->seed, "of the choice of keys (default: 1)")->type_name("N");
}

}  // namespace

void AddBench(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* command = AddCommand(
      app, invocation, "bench", "Put a load on a cluster, and say how fast it was",
      "  annulus bench --fill\n"
      "  annulus bench --workload b --fill --duration 60s --warm-up 10s\n"
      "  annulus bench --mode unary --clients 64 --reads 1\n"
      "  annulus bench --rate 2000 -o json | jq .p99_us\n"
      "With --rate operations begin when they are due, and their latency counts from then, also "
      "where\n"
      "no client was free to begin them; without it, each client always has one (or a --group) "
      "under way.\n"
      "Operations go straight to an owner of their key, also to members that --endpoints does not "
      "name.\n"
      "-o json: a line each second, and at the end {\"total\": ...}. Exit code 1: some failed.",
      [&invocation, flags] { return RunBench(invocation, *flags); });
  command
      ->add_option("--mode", flags->mode,
                   "pipeline (default): a stream to each node; unary: one RPC each; batch: one RPC "
                   "a group")
      ->type_name("MODE")
      ->check(OneOf({"pipeline", "unary", "batch"}));
  command
      ->add_option("--rate", flags->driver.rate,
                   "operations a second (default: as many as possible)")
      ->type_name("N")
      ->check(CLI::Range(0.0, 1e7).description(""));
  command->add_option("--duration", flags->duration, "how long to begin operations (default: 30s)")
      ->type_name("TIME");
  command->add_option("--warm-up", flags->warm_up, "the same before, not counted (default: 0s)")
      ->type_name("TIME");
  command
      ->add_option("--clients,--concurrency", flags->driver.clients,
                   "operations or groups under way at most (default: 256)")
      ->type_name("N")
      ->check(Between(1, 1'000'000));
  command
      ->add_option("--group", flags->driver.group,
                   "operations that a client begins together (default: 1)")
      ->type_name("N")
      ->check(Between(1, 1000));
  command->add_flag("--fill", flags->fill, "write every key once before the run");
  command->add_flag("--endpoints-only", flags->endpoints_only,
                    "only the --endpoints, whoever owns the key");
  AddWorkloadFlags(command, flags.get());
  AddOutputFlag(command, invocation);
  AddConnectionFlags(command, invocation);
}

}  // namespace annulus::cli
