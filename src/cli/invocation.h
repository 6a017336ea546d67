#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "annulus/kv/v1/kv.pb.h"
#include "cli/cli.h"
#include "cli/exit_code.h"
#include "client/client.h"
#include "nlohmann/json.hpp"

namespace annulus::cli {

// What the command line has chosen: each command adds its flags to the app, and where it was called
// leaves here what to run. Commands return exit codes and print what went wrong themselves.
struct Invocation {
  // Flags that most commands share, as typed; empty where not given.
  std::string endpoints;
  std::string timeout;
  std::string output;
  std::optional<int> retries;

  ServeFunction serve;
  std::function<int()> run;

  bool json() const { return output == "json"; }
  // Flags first, then ANNULUS_ENDPOINTS, then defaults.
  absl::StatusOr<ClientOptions> client_options() const;
};

// Checks of values. They explain themselves in errors, not in the help, where the type name does.
CLI::Validator Between(int64_t low, int64_t high);
CLI::Validator OneOf(const std::vector<std::string>& words);

// A subcommand with a help text and examples, one a line; `run` is called once all is parsed.
CLI::App* AddCommand(CLI::App& app, Invocation& invocation, const std::string& name,
                     const std::string& description, const std::string& examples,
                     std::function<int()> run);

// --endpoints, --timeout, --retries.
void AddConnectionFlags(CLI::App* command, Invocation& invocation);
// -o json|table.
void AddOutputFlag(CLI::App* command, Invocation& invocation);

// The item that a command is about: KEY, --bucket, --sort-key, --base64.
struct ItemFlags {
  std::string key;
  std::string bucket = "default";
  std::string sort_key;
  bool base64 = false;

  void AddTo(CLI::App* command);
  // Decodes --base64.
  absl::Status Resolve();
  std::string Name() const;  // For messages.
};

// --consistency, and --w or --r.
struct ConsistencyFlags {
  std::string level;
  uint32_t number = 0;
  bool strict = false;

  // `letter` is 'w' or 'r'.
  void AddTo(CLI::App* command, char letter);
  // --strict.
  void AddStrictTo(CLI::App* command);
  kv::v1::Consistency value() const;
};

// One line of JSON; what is no UTF-8 in it (it should not be) is replaced rather than thrown over.
void PrintJson(const nlohmann::ordered_json& json);

// Says on standard error what failed, with -o json also on standard output as {"error": ...}.
// `request_id` names the write that failed.
int Fail(const Invocation& invocation, const std::string& what, const absl::Status& status,
         const std::string& request_id = {});
// The command line is wrong.
int UsageError(const absl::Status& status);

nlohmann::ordered_json ToJson(const kv::v1::Explain& explain);
nlohmann::ordered_json ToJson(const kv::v1::Acks& acks);
std::string ToText(const kv::v1::Explain& explain);

// Set by SIGINT while one of these lives: long commands end in order and say how far they got. A
// second SIGINT ends the process as usual.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  bool interrupted() const;
};

}  // namespace annulus::cli
