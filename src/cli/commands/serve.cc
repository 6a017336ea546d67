#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "cli/commands/commands.h"
#include "cli/settings.h"

namespace annulus::cli {
namespace {

struct ServeFlags {
  std::string config;
  std::map<std::string, std::string> values;  // By setting, as typed.
  std::map<std::string, CLI::Option*> options;
};

// The ANNULUS_* variables that are settings of a process; ANNULUS_ENDPOINTS is a client's.
std::map<std::string, std::string> Environment() {
  std::map<std::string, std::string> variables;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string variable(*each);
    const size_t equals = variable.find('=');
    if (variable.rfind("ANNULUS_", 0) != 0 || equals == std::string::npos) continue;
    const std::string name = variable.substr(0, equals);
    if (name != "ANNULUS_ENDPOINTS") variables[name] = variable.substr(equals + 1);
  }
  return variables;
}

int RunServe(Invocation& invocation, const ServeFlags& flags) {
  std::map<std::string, std::string> given;
  for (const auto& [name, option] : flags.options) {
    if (option->count() > 0) given[name] = flags.values.at(name);
  }
  auto settings = LoadSettings(flags.config, given, Environment());
  if (!settings.ok()) return UsageError(settings.status());
  return invocation.serve(*settings);
}

}  // namespace

void AddServe(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* command = AddCommand(
      app, invocation, "serve", "Run a node, or a coordinator, until SIGTERM",
      "  annulus serve --config /etc/annulus/node-1.toml\n"
      "  annulus serve --name node-1 --data-dir /var/lib/annulus \\\n"
      "      --members node-1=host-1:50052,node-2=host-2:50052,node-3=host-3:50052\n"
      "  annulus serve --role coordinator --name coordinator-1 --members ...\n"
      "Flags override ANNULUS_* variables (ANNULUS_DATA_DIR for --data-dir), and these the file.",
      [&invocation, flags] { return RunServe(invocation, *flags); });
  command->add_option("--config", flags->config, "a TOML file with these settings")
      ->type_name("FILE");
  for (const SettingInfo& setting : AllSettings()) {
    const std::string flag =
        absl::StrCat("--", absl::StrReplaceAll(std::string(setting.name), {{"_", "-"}}));
    std::string help(setting.help);
    if (!std::string(setting.default_text).empty()) {
      absl::StrAppend(&help, " (default: ", std::string(setting.default_text), ")");
    }
    const std::string name(setting.name);
    flags->options[name] =
        command->add_option(flag, flags->values[name], help)->type_name("VALUE")->group("Settings");
  }
}

}  // namespace annulus::cli
