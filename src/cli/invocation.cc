#include "cli/invocation.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/duration.h"
#include "cli/encoding.h"
#include "cli/endpoints.h"
#include "cli/failure.h"
#include "cli/table.h"

namespace annulus::cli {

using nlohmann::ordered_json;

absl::StatusOr<ClientOptions> Invocation::client_options() const {
  std::string list = endpoints;
  if (list.empty()) {
    const char* variable = std::getenv("ANNULUS_ENDPOINTS");
    list = variable != nullptr && *variable != 0 ? variable : kEndpointDefault;
  }
  auto parsed = ParseEndpoints(list);
  if (!parsed.ok()) return parsed.status();
  ClientOptions options;
  options.endpoints = *std::move(parsed);
  if (!timeout.empty()) {
    auto duration = ParseDuration(timeout, "--timeout");
    if (!duration.ok()) return duration.status();
    if (duration->count() == 0) return absl::InvalidArgumentError("--timeout should not be 0");
    options.timeout = *duration;
    options.connect_timeout = std::min(options.connect_timeout, options.timeout);
  }
  if (retries.has_value()) options.retries = *retries;
  return options;
}

CLI::Validator Between(int64_t low, int64_t high) { return CLI::Range(low, high).description(""); }

CLI::Validator OneOf(const std::vector<std::string>& words) {
  return CLI::IsMember(words).description("");
}

CLI::App* AddCommand(CLI::App& app, Invocation& invocation, const std::string& name,
                     const std::string& description, const std::string& examples,
                     std::function<int()> run) {
  CLI::App* command = app.add_subcommand(name, description);
  if (!examples.empty()) command->footer("Examples:\n" + examples);
  command->callback([&invocation, run = std::move(run)] { invocation.run = run; });
  return command;
}

void AddConnectionFlags(CLI::App* command, Invocation& invocation) {
  command
      ->add_option("--endpoints", invocation.endpoints,
                   absl::StrCat("client addresses, host:port[,host:port]; tried in this order "
                                "(default: ANNULUS_ENDPOINTS, then ",
                                kEndpointDefault, ")"))
      ->type_name("LIST")
      ->group("Connection");
  command
      ->add_option("--timeout", invocation.timeout,
                   "how long one operation may take, like 500ms or 30s (default: 10s)")
      ->type_name("TIME")
      ->group("Connection");
  command
      ->add_option("--retries", invocation.retries,
                   "repeat an operation that failed by accident so often, writes under the same "
                   "request id; 0: exactly one RPC (default: 5)")
      ->type_name("N")
      ->check(Between(0, 1000))
      ->group("Connection");
}

void AddOutputFlag(CLI::App* command, Invocation& invocation) {
  command->add_option("-o,--output", invocation.output, "table (for people) or json")
      ->type_name("table|json")
      ->check(OneOf({"table", "json"}));
}

void ItemFlags::AddTo(CLI::App* command) {
  command->add_option("KEY", key, "the key, 1 B to 4 KiB")->required()->type_name("");
  command->add_option("-b,--bucket", bucket, "the bucket (default: default)")->type_name("NAME");
  command->add_option("--sort-key", sort_key, "the sort key within the key")->type_name("TEXT");
  command->add_flag("--base64", base64, "KEY and --sort-key are given in base64");
}

absl::Status ItemFlags::Resolve() {
  if (!base64) return absl::OkStatus();
  auto decoded = FromBase64(key, "KEY");
  if (!decoded.ok()) return decoded.status();
  key = *std::move(decoded);
  decoded = FromBase64(sort_key, "--sort-key");
  if (!decoded.ok()) return decoded.status();
  sort_key = *std::move(decoded);
  base64 = false;
  return absl::OkStatus();
}

std::string ItemFlags::Name() const {
  std::string name = absl::StrCat("\"", PrintableShort(key, 60), "\"");
  if (!sort_key.empty()) absl::StrAppend(&name, " / \"", PrintableShort(sort_key, 60), "\"");
  if (bucket != "default") absl::StrAppend(&name, " in ", PrintableShort(bucket, 63));
  return name;
}

void ConsistencyFlags::AddTo(CLI::App* command, char letter) {
  const bool write = letter == 'w';
  CLI::Option* level_option =
      command
          ->add_option("--consistency", level,
                       write ? "replicas that must be durable first: one, quorum or all"
                             : "replicas that must answer: one, quorum or all")
          ->type_name("one|quorum|all")
          ->check(OneOf({"one", "quorum", "all"}));
  command->add_option(std::string("--") + letter, number, "the same as a number, from 1 to N")
      ->type_name("N")
      ->check(Between(1, 7))
      ->excludes(level_option);
}

void ConsistencyFlags::AddStrictTo(CLI::App* command) {
  command->add_flag("--strict", strict,
                    "count owners of the key alone, not the fallbacks that stand in for them");
}

kv::v1::Consistency ConsistencyFlags::value() const {
  if (level == "one") return kv::v1::CONSISTENCY_ONE;
  if (level == "quorum") return kv::v1::CONSISTENCY_QUORUM;
  if (level == "all") return kv::v1::CONSISTENCY_ALL;
  return kv::v1::CONSISTENCY_UNSPECIFIED;
}

void PrintJson(const ordered_json& json) {
  const std::string text = json.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
  std::fwrite(text.data(), 1, text.size(), stdout);
}

int Fail(const Invocation& invocation, const std::string& what, const absl::Status& status,
         const std::string& request_id) {
  std::fprintf(stderr, "annulus: %s\n", Describe(what, status, request_id).c_str());
  if (invocation.json()) {
    const ErrorDetails details = DetailsOf(status);
    ordered_json error;
    error["code"] = absl::StatusCodeToString(status.code());
    error["reason"] = details.reason;
    error["message"] = std::string(status.message());
    if (details.outcome != Outcome::kNone) {
      error["outcome"] = std::string(ToString(details.outcome));
      if (!request_id.empty()) error["request_id"] = Hex(request_id);
    }
    if (details.acks.required > 0) {
      error["acks"] = {{"primaries", details.acks.primaries},
                       {"fallbacks", details.acks.fallbacks},
                       {"required", details.acks.required}};
    }
    PrintJson({{"error", error}});
  }
  return ExitCodeFor(status);
}

int UsageError(const absl::Status& status) {
  std::fprintf(stderr, "annulus: %s\n", std::string(status.message()).c_str());
  return kExitUsage;
}

ordered_json ToJson(const kv::v1::Acks& acks) {
  return {{"primaries", acks.primaries()},
          {"fallbacks", acks.fallbacks()},
          {"required", acks.required()}};
}

ordered_json ToJson(const kv::v1::Explain& explain) {
  ordered_json hops = ordered_json::array();
  for (const auto& hop : explain.hops()) {
    hops.push_back({{"node", hop.node()},
                    {"kind", hop.kind()},
                    {"answer", hop.answer()},
                    {"asked_us", hop.asked_us()},
                    {"answered_us", hop.answered_us()}});
  }
  return {{"partition", explain.partition()},
          {"layout_version", explain.layout_version()},
          {"coordinator", explain.coordinator()},
          {"elapsed_us", explain.elapsed_us()},
          {"hops", hops}};
}

std::string ToText(const kv::v1::Explain& explain) {
  std::string text =
      absl::StrFormat("partition %d, layout %d, coordinated by %s, %.3f ms\n", explain.partition(),
                      explain.layout_version(), explain.coordinator(),
                      static_cast<double>(explain.elapsed_us()) / 1000);
  Table table({"node", "asked for", "answer", "asked ms", "answered ms"});
  for (const auto& hop : explain.hops()) {
    table.Add({Printable(hop.node()), Printable(hop.kind()), Printable(hop.answer()),
               absl::StrFormat("%.3f", static_cast<double>(hop.asked_us()) / 1000),
               hop.answered_us() == 0
                   ? std::string("-")
                   : absl::StrFormat("%.3f", static_cast<double>(hop.answered_us()) / 1000)});
  }
  if (!table.empty()) text += table.ToString();
  return text;
}

// -------------------------------------------------------------------------------------------------

namespace {

volatile std::sig_atomic_t interrupted_flag = 0;

void OnInterrupt(int) {
  interrupted_flag = 1;
  std::signal(SIGINT, SIG_DFL);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  interrupted_flag = 0;
  struct sigaction action {};  // Without SA_RESTART: a blocking read ends too.
  action.sa_handler = OnInterrupt;
  sigaction(SIGINT, &action, nullptr);
}

InterruptGuard::~InterruptGuard() { std::signal(SIGINT, SIG_DFL); }

bool InterruptGuard::interrupted() const { return interrupted_flag != 0; }

}  // namespace annulus::cli
