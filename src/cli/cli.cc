#include "cli/cli.h"

#include <cstdio>
#include <exception>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "cli/commands/commands.h"
#include "cli/encoding.h"
#include "cli/exit_code.h"
#include "cli/invocation.h"
#include "cli/suggest.h"

namespace annulus::cli {
namespace {

constexpr char kFooter[] =
    "Try it:\n"
    "  annulus dev --nodes 3            # a cluster on this machine\n"
    "  annulus put greeting hello\n"
    "  annulus get greeting\n"
    "\n"
    "Exit codes:\n"
    "    0  done\n"
    "    1  it failed; a write was not applied. Of import: some records failed or differ\n"
    "    2  the command line or the input is wrong; nothing was done\n"
    "    3  not found\n"
    "    4  several values stand side by side where one was asked for\n"
    "    5  a write may or may not have been applied; repeat it under the same --request-id\n"
    "    6  the cluster could not be reached\n"
    "  130  interrupted\n"
    "\n"
    "Environment:\n"
    "  ANNULUS_ENDPOINTS  where --endpoints is not given\n"
    "  ANNULUS_*          settings of `annulus serve`";

// Options as "--name TYPE", without what else the parser knows of them; examples in lines of their
// own.
class Formatter : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_type_size() == 0 || option->get_type_name().empty()) return "";
    return absl::StrCat(" ", option->get_type_name());
  }
  std::string make_footer(const CLI::App* app) const override {
    const std::string footer = app->get_footer();
    return footer.empty() ? "" : absl::StrCat("\n", footer, "\n");
  }
};

// The command that was being parsed when an error was thrown: the last one that matched.
const CLI::App* Deepest(const CLI::App* app) {
  const auto parsed = app->get_subcommands();
  return parsed.empty() ? app : Deepest(parsed.back());
}

std::string SuggestionFor(const CLI::App& command, const std::string& word) {
  std::vector<std::string> candidates;
  const bool is_flag = word.rfind("-", 0) == 0;
  if (is_flag) {
    for (const CLI::Option* option : command.get_options()) {
      for (const auto& name : option->get_lnames()) candidates.push_back("--" + name);
    }
  } else {
    for (const CLI::App* sub : command.get_subcommands([](const CLI::App*) { return true; })) {
      candidates.push_back(sub->get_name());
    }
  }
  return Nearest(word.substr(0, word.find('=')), candidates);
}

int ReportParseError(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* command = Deepest(&app);
  const bool top = command == &app;
  std::string message = error.what();
  std::string suggestion;
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    // What it did not know; the first one is what to talk about.
    std::vector<std::string> extras = app.remaining(/*recurse=*/true);
    if (!extras.empty()) {
      const std::string& word = extras.front();
      const bool is_flag = word.rfind("-", 0) == 0 && word.size() > 1;
      message = absl::StrCat(is_flag ? "unknown flag "
                             : top   ? "unknown command "
                                     : "too many arguments: ",
                             PrintableShort(word, 60));
      suggestion = SuggestionFor(*command, word);
    }
  } else if (top && app.get_subcommands().empty() &&
             dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
    std::vector<std::string> extras = app.remaining(/*recurse=*/true);
    if (extras.empty()) {
      message = "no command is given";
    } else {
      const bool is_flag = extras.front().rfind("-", 0) == 0;
      message = absl::StrCat(is_flag ? "unknown flag " : "unknown command ",
                             PrintableShort(extras.front(), 60));
      suggestion = SuggestionFor(app, extras.front());
    }
  }
  std::fprintf(stderr, "annulus: %s\n", message.c_str());
  if (!suggestion.empty()) std::fprintf(stderr, "  did you mean %s?\n", suggestion.c_str());
  std::fprintf(stderr, "  see `annulus%s --help`\n",
               top ? "" : absl::StrCat(" ", command->get_name()).c_str());
  return kExitUsage;
}

void AddCommands(CLI::App& app, Invocation& invocation) {
  AddDev(app, invocation);
  AddServe(app, invocation);
  AddPut(app, invocation);
  AddGet(app, invocation);
  AddDel(app, invocation);
  AddScan(app, invocation);
  AddImport(app, invocation);
  AddExport(app, invocation);
  AddBench(app, invocation);
  AddStatus(app, invocation);
  AddHints(app, invocation);
  AddRing(app, invocation);
  AddExplain(app, invocation);
  AddRepair(app, invocation);
  AddFaults(app, invocation);
  AddHealth(app, invocation);
  AddCompletion(app, invocation);
  AddVersion(app, invocation);
}

}  // namespace

int Main(int argc, char** argv, ServeFunction serve) {
  Invocation invocation;
  invocation.serve = std::move(serve);
  CLI::App app("Annulus: a key-value store that keeps taking writes when machines fail", "annulus");
  app.formatter(std::make_shared<Formatter>());
  app.get_formatter()->column_width(32);
  app.footer(kFooter);
  app.require_subcommand(1);
  bool version = false;
  app.add_flag("--version", version, "Print the version");
  AddOutputFlag(&app, invocation);
  AddConnectionFlags(&app, invocation);
  AddCommands(app, invocation);
  // Flags of a command may stand on both sides of its arguments, but a flag that the command does
  // not have is an error rather than one of the program's.
  for (CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    command->fallthrough(false);
  }
  if (argc == 2 && std::string(argv[1]) == "--version") argv[1] = const_cast<char*>("version");

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return ReportParseError(app, error);
  }
  int code = kExitFailed;
  try {
    code = invocation.run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "annulus: unexpected failure: %s\n", error.what());
  }
  if (std::fflush(stdout) != 0 && code == kExitOk) {
    std::fputs("annulus: standard output could not be written\n", stderr);
    code = kExitFailed;
  }
  return code;
}

}  // namespace annulus::cli
