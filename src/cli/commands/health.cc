#include <cstdio>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cli/commands/commands.h"
#include "cli/duration.h"
#include "cli/encoding.h"
#include "cli/http_get.h"

namespace annulus::cli {
namespace {

int RunHealth(const Invocation& invocation, const std::string& address) {
  std::chrono::milliseconds timeout(3000);
  if (!invocation.timeout.empty()) {
    auto parsed = ParseDuration(invocation.timeout, "--timeout");
    if (!parsed.ok()) return UsageError(parsed.status());
    timeout = *parsed;
  }
  auto answer = HttpGet(address, "/readyz", timeout);
  if (answer.status().code() == absl::StatusCode::kInvalidArgument) {
    return UsageError(answer.status());
  }
  const std::string body =
      answer.ok() ? PrintableShort(absl::StripAsciiWhitespace(answer->body), 200) : "";
  const bool ready = answer.ok() && answer->code == 200;
  if (invocation.json()) {
    nlohmann::ordered_json json = {{"ready", ready}};
    if (answer.ok()) {
      json["http_code"] = answer->code;
      json["answer"] = body;
    } else {
      json["error"] = std::string(answer.status().message());
    }
    PrintJson(json);
  } else if (ready) {
    std::printf("ready\n");
  } else if (answer.ok()) {
    std::fprintf(stderr, "annulus: %s is not ready (%d): %s\n", address.c_str(), answer->code,
                 body.c_str());
  } else {
    std::fprintf(stderr, "annulus: %s\n", std::string(answer.status().message()).c_str());
  }
  if (ready) return kExitOk;
  return answer.ok() ? kExitFailed : kExitUnreachable;
}

}  // namespace

void AddHealth(CLI::App& app, Invocation& invocation) {
  auto address = std::make_shared<std::string>("127.0.0.1:8080");
  CLI::App* command = AddCommand(
      app, invocation, "health", "Exit 0 where a process is ready to serve (its /readyz says so)",
      "  annulus health\n"
      "  annulus health --http node-1:8080",
      [&invocation, address] { return RunHealth(invocation, *address); });
  command->add_option("--http", *address, "its HTTP address (default: 127.0.0.1:8080)")
      ->type_name("HOST:PORT");
  command->add_option("--timeout", invocation.timeout, "how long to wait (default: 3s)")
      ->type_name("TIME");
  AddOutputFlag(command, invocation);
}

}  // namespace annulus::cli
