#include <unistd.h>

#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "cli/commands/commands.h"
#include "cli/encoding.h"
#include "cli/record_file.h"
#include "cli/table.h"

namespace annulus::cli {
namespace {

struct GetFlags {
  ItemFlags item;
  ConsistencyFlags consistency;
  std::string at_least;
  uint32_t sibling = 0;
  bool explain = false;
  bool print_context = false;
};

void PrintValue(const std::string& value) {
  std::fwrite(value.data(), 1, value.size(), stdout);
  // A prompt behind the last character helps nobody; a pipe gets the bytes and nothing else.
  if (isatty(STDOUT_FILENO) && !value.empty() && value.back() != '\n') std::fputc('\n', stdout);
}

nlohmann::ordered_json AsJson(const ItemFlags& item, const kv::v1::GetResponse& response) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  SetBytes(&json, "key", item.key);
  if (!item.sort_key.empty()) SetBytes(&json, "sort_key", item.sort_key);
  json["found"] = response.siblings_size() > 0;
  json["siblings"] = nlohmann::ordered_json::array();
  for (const auto& sibling : response.siblings()) {
    nlohmann::ordered_json one = ToJson(sibling, /*details=*/true);
    one["request_id"] = Hex(sibling.request_id());
    json["siblings"].push_back(one);
  }
  if (response.siblings_size() == 1) SetBytes(&json, "value", response.siblings(0).value());
  json["context"] = Base64(response.context());
  json["tombstone"] = response.tombstone();
  json["more"] = response.more();
  json["answers"] = response.answers();
  if (response.has_explain()) json["explain"] = ToJson(response.explain());
  return json;
}

void ListSiblings(const ItemFlags& item, const kv::v1::GetResponse& response) {
  std::fprintf(stderr, "annulus: %s has %d values that no later write replaced%s:\n",
               item.Name().c_str(), response.siblings_size(),
               response.more() ? ", and more that did not fit" : "");
  Table table({"sibling", "written", "size", "value"});
  for (int i = 0; i < response.siblings_size(); ++i) {
    const auto& sibling = response.siblings(i);
    table.Add({absl::StrCat(i + 1), UtcTime(sibling.write_time_us()),
               HumanBytes(sibling.value().size()), PrintableShort(sibling.value(), 60)});
  }
  std::fprintf(stderr,
               "%scontext: %s\n"
               "  to do: read one with --sibling N, then replace all of them:\n"
               "         annulus put KEY VALUE --context TOKEN (the one above), or --replace\n",
               table.ToString().c_str(), Base64(response.context()).c_str());
}

int RunGet(Invocation& invocation, GetFlags& flags) {
  if (absl::Status status = flags.item.Resolve(); !status.ok()) return UsageError(status);
  kv::v1::GetRequest request;
  request.set_bucket(flags.item.bucket);
  request.set_key(flags.item.key);
  request.set_sort_key(flags.item.sort_key);
  request.mutable_options()->set_consistency(flags.consistency.value());
  request.mutable_options()->set_r(flags.consistency.number);
  request.mutable_options()->set_sloppy(!flags.consistency.strict);
  request.mutable_options()->set_explain(flags.explain);
  if (!flags.at_least.empty()) {
    auto token = FromBase64(flags.at_least, "--at-least");
    if (!token.ok()) return UsageError(token.status());
    request.mutable_options()->set_at_least(*token);
  }
  auto options = invocation.client_options();
  if (!options.ok()) return UsageError(options.status());
  auto response = Client(*options).Get(request);
  if (!response.ok()) {
    return Fail(invocation, absl::StrCat("get ", flags.item.Name()), response.status());
  }

  const uint32_t siblings = response->siblings_size();
  const bool chosen = flags.sibling > 0;
  const ExitCode code = siblings == 0 ? kExitNotFound
                        : chosen      ? (flags.sibling <= siblings ? kExitOk : kExitNotFound)
                        : siblings > 1 || response->more() ? kExitSiblings
                                                           : kExitOk;
  if (invocation.json()) {
    PrintJson(AsJson(flags.item, *response));
    return code;
  }
  if (response->has_explain()) std::fputs(ToText(response->explain()).c_str(), stderr);
  if (code == kExitOk) {
    PrintValue(response->siblings(chosen ? static_cast<int>(flags.sibling) - 1 : 0).value());
  } else if (code == kExitSiblings) {
    ListSiblings(flags.item, *response);
    return code;
  } else if (siblings == 0) {
    std::fprintf(stderr, "annulus: %s: not found%s\n", flags.item.Name().c_str(),
                 response->tombstone() ? " (deleted)" : "");
  } else {
    std::fprintf(stderr, "annulus: %s has %u values: --sibling %u is beyond them\n",
                 flags.item.Name().c_str(), siblings, flags.sibling);
  }
  if (flags.print_context) {
    std::fprintf(stderr, "context: %s\n", Base64(response->context()).c_str());
  }
  return code;
}

}  // namespace

void AddGet(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<GetFlags>();
  CLI::App* command = AddCommand(
      app, invocation, "get", "Read a value and print it as it is",
      "  annulus get greeting\n"
      "  annulus get photo > cat.jpg\n"
      "  annulus get greeting -o json            # with context, siblings and write times\n"
      "  annulus get cart --sibling 2            # one of several concurrent values\n"
      "  annulus get greeting --at-least TOKEN   # at least what that context has seen\n"
      "Exit code 3: not found. 4: several values stand side by side (listed on standard error).",
      [&invocation, flags] { return RunGet(invocation, *flags); });
  flags->item.AddTo(command);
  command->add_option("--sibling", flags->sibling, "print this one of several values, from 1")
      ->type_name("N")
      ->check(Between(1, 1'000'000));
  flags->consistency.AddTo(command, 'r');
  flags->consistency.AddStrictTo(command);
  command
      ->add_option("--at-least", flags->at_least,
                   "a context of this item (base64): the answer covers it, or the read fails")
      ->type_name("TOKEN");
  command->add_flag("--print-context", flags->print_context, "print the context on standard error");
  command->add_flag("--explain", flags->explain, "show which nodes were asked, and what they said");
  AddOutputFlag(command, invocation);
  AddConnectionFlags(command, invocation);
}

}  // namespace annulus::cli
