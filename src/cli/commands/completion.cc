#include <algorithm>
#include <cstdio>
#include <memory>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "cli/commands/commands.h"

namespace annulus::cli {
namespace {

// What the scripts know of a command: taken from the parser's own tree, so that it never lags
// behind.
struct Flag {
  std::vector<std::string> names;  // With their dashes.
  std::string help;
  bool takes_value = false;
  std::vector<std::string> choices;  // Of the value, where its type is written a|b|c.
  bool is_path = false;
};
struct Command {
  std::string name;
  std::string help;
  std::vector<Flag> flags;
  std::vector<std::string> words;  // Choices for its argument, where it has fixed ones.
};

std::vector<Flag> FlagsOf(const CLI::App& app) {
  std::vector<Flag> flags;
  for (const CLI::Option* option : app.get_options()) {
    Flag flag;
    for (const auto& name : option->get_snames()) flag.names.push_back(absl::StrCat("-", name));
    for (const auto& name : option->get_lnames()) flag.names.push_back(absl::StrCat("--", name));
    if (flag.names.empty()) continue;
    flag.help = option->get_description();
    flag.takes_value = option->get_items_expected_max() > 0;
    const std::string type = flag.takes_value ? option->get_type_name() : "";
    if (absl::StrContains(type, "|")) flag.choices = absl::StrSplit(type, '|');
    flag.is_path = type == "FILE" || type == "DIR";
    flags.push_back(std::move(flag));
  }
  return flags;
}

void AddMissing(const std::vector<Flag>& flags, std::vector<Flag>* to) {
  for (const Flag& flag : flags) {
    const bool known = std::any_of(to->begin(), to->end(),
                                   [&](const Flag& each) { return each.names == flag.names; });
    if (!known) to->push_back(flag);
  }
}

std::vector<Command> CommandsOf(const CLI::App& app) {
  std::vector<Command> commands;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    Command command{sub->get_name(), sub->get_description(), FlagsOf(*sub), {}};
    if (command.name == "completion") command.words = {"bash", "zsh", "fish"};
    for (const CLI::App* nested : sub->get_subcommands([](const CLI::App*) { return true; })) {
      command.words.push_back(nested->get_name());
      AddMissing(FlagsOf(*nested), &command.flags);
    }
    commands.push_back(std::move(command));
  }
  return commands;
}

std::string Bash(const std::vector<Command>& commands, const std::vector<Flag>& global) {
  std::vector<std::string> names;
  std::string cases, value_cases;
  std::set<std::string> with_value, told;
  const auto note = [&](const Flag& flag) {
    if (!flag.takes_value) return;
    with_value.insert(flag.names.begin(), flag.names.end());
    if (!told.insert(flag.names.front()).second) return;  // Shared by several commands.
    if (!flag.choices.empty()) {
      absl::StrAppend(&value_cases, "    ", absl::StrJoin(flag.names, "|"),
                      ") COMPREPLY=($(compgen -W '", absl::StrJoin(flag.choices, " "),
                      "' -- \"$current\")); return ;;\n");
    } else if (flag.is_path) {
      absl::StrAppend(&value_cases, "    ", absl::StrJoin(flag.names, "|"),
                      ") COMPREPLY=($(compgen -f -- \"$current\")); return ;;\n");
    }
  };
  for (const Flag& flag : global) note(flag);
  for (const Command& command : commands) {
    names.push_back(command.name);
    std::vector<std::string> words = command.words;
    for (const Flag& flag : command.flags) {
      words.insert(words.end(), flag.names.begin(), flag.names.end());
      note(flag);
    }
    absl::StrAppend(&cases, "    ", command.name, ") words=\"", absl::StrJoin(words, " "),
                    "\" ;;\n");
  }
  for (const Flag& flag : global) {
    names.insert(names.end(), flag.names.begin(), flag.names.end());
  }
  return absl::StrCat(
      "# bash completion for annulus: source <(annulus completion bash)\n"
      "_annulus() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} command= word words skip= i\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    word=${COMP_WORDS[i]}\n"
      "    if [ -n \"$skip\" ]; then skip=; continue; fi\n"
      "    case $word in\n"
      "      ",
      absl::StrJoin(with_value, "|"),
      ") skip=yes ;;\n"
      "      -*) ;;\n"
      "      *) command=$word; break ;;\n"
      "    esac\n"
      "  done\n"
      "  case ${COMP_WORDS[COMP_CWORD-1]} in\n",
      value_cases,
      "  esac\n"
      "  case $command in\n"
      "    '') words=\"",
      absl::StrJoin(names, " "), "\" ;;\n", cases,
      "    *) words= ;;\n"
      "  esac\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
      "}\n"
      "complete -o default -F _annulus annulus\n");
}

// Inside single quotes of a shell, and of zsh's own brackets and colons.
std::string ZshHelp(const std::string& help) {
  return absl::StrReplaceAll(
      help, {{"'", "'\\''"}, {"[", "\\["}, {"]", "\\]"}, {":", "\\:"}, {"\n", " "}});
}

std::string Zsh(const std::vector<Command>& commands, const std::vector<Flag>& global) {
  const auto value = [](const Flag& flag) -> std::string {
    if (!flag.takes_value) return "";
    if (!flag.choices.empty())
      return absl::StrCat(":value:(", absl::StrJoin(flag.choices, " "), ")");
    return flag.is_path ? ":file:_files" : ":value: ";
  };
  const auto arguments = [&](const std::vector<Flag>& flags) {
    std::string text;
    for (const Flag& flag : flags) {
      for (const std::string& name : flag.names) {
        absl::StrAppend(&text, " \\\n        '", name, "[", ZshHelp(flag.help), "]", value(flag),
                        "'");
      }
    }
    return text;
  };
  std::string list, cases;
  for (const Command& command : commands) {
    absl::StrAppend(&list, "    '", command.name, ":", ZshHelp(command.help), "'\n");
    absl::StrAppend(&cases, "      ", command.name, ") _arguments", arguments(command.flags));
    if (!command.words.empty()) {
      absl::StrAppend(&cases, " \\\n        '1:what:(", absl::StrJoin(command.words, " "), ")'");
    } else {
      absl::StrAppend(&cases, " \\\n        '*:argument:_files'");
    }
    cases += " ;;\n";
  }
  return absl::StrCat(
      "#compdef annulus\n"
      "# zsh completion for annulus: source <(annulus completion zsh)\n"
      "_annulus() {\n"
      "  local -a commands\n"
      "  local context state line curcontext=$curcontext\n"
      "  commands=(\n",
      list,
      "  )\n"
      "  _arguments -C",
      arguments(global),
      " \\\n        '1:command:->command' \\\n        '*::argument:->argument'\n"
      "  case $state in\n"
      "    command) _describe command commands ;;\n"
      "    argument) case $line[1] in\n",
      cases,
      "    esac ;;\n"
      "  esac\n"
      "}\n"
      "compdef _annulus annulus\n");
}

std::string Fish(const std::vector<Command>& commands, const std::vector<Flag>& global) {
  const auto quoted = [](const std::string& text) {
    return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}, {"\n", " "}}),
                        "'");
  };
  const auto flag_line = [&](const std::string& condition, const Flag& flag) {
    std::string line = absl::StrCat("complete -c annulus -n ", quoted(condition));
    for (const std::string& name : flag.names) {
      absl::StrAppend(&line, name.rfind("--", 0) == 0 ? " -l " : " -s ",
                      name.substr(name.rfind("--", 0) == 0 ? 2 : 1));
    }
    if (!flag.choices.empty()) {
      absl::StrAppend(&line, " -f -a ", quoted(absl::StrJoin(flag.choices, " ")));
    } else if (flag.takes_value && !flag.is_path) {
      line += " -f";
    }
    absl::StrAppend(&line, flag.takes_value ? " -r" : "", " -d ", quoted(flag.help), "\n");
    return line;
  };
  std::string out = "# fish completion for annulus: annulus completion fish | source\n";
  for (const Flag& flag : global) out += flag_line("__fish_use_subcommand", flag);
  for (const Command& command : commands) {
    absl::StrAppend(&out, "complete -c annulus -n __fish_use_subcommand -f -a ", command.name,
                    " -d ", quoted(command.help), "\n");
    const std::string condition = absl::StrCat("__fish_seen_subcommand_from ", command.name);
    for (const Flag& flag : command.flags) out += flag_line(condition, flag);
    if (!command.words.empty()) {
      absl::StrAppend(&out, "complete -c annulus -n ", quoted(condition), " -f -a ",
                      quoted(absl::StrJoin(command.words, " ")), "\n");
    }
  }
  return out;
}

int RunCompletion(const CLI::App& app, const std::string& shell) {
  const auto commands = CommandsOf(app);
  const auto global = FlagsOf(app);
  const std::string script = shell == "bash"  ? Bash(commands, global)
                             : shell == "zsh" ? Zsh(commands, global)
                                              : Fish(commands, global);
  std::fputs(script.c_str(), stdout);
  return kExitOk;
}

}  // namespace

void AddCompletion(CLI::App& app, Invocation& invocation) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command = AddCommand(app, invocation, "completion", "Print a shell's completion script",
                                 "  source <(annulus completion bash)\n"
                                 "  source <(annulus completion zsh)\n"
                                 "  annulus completion fish | source",
                                 [&app, shell] { return RunCompletion(app, *shell); });
  command->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->type_name("")
      ->check(OneOf({"bash", "zsh", "fish"}));
}

}  // namespace annulus::cli
