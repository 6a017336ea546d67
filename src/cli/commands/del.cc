#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "cli/commands/commands.h"
#include "cli/commands/write_flags.h"
#include "cli/encoding.h"

namespace annulus::cli {
namespace {

struct DelFlags {
  ItemFlags item;
  WriteFlags write;
  bool blind = false;
};

int RunDel(Invocation& invocation, DelFlags& flags) {
  if (absl::Status status = flags.item.Resolve(); !status.ok()) return UsageError(status);
  if (flags.write.context.empty() && !flags.write.replace && !flags.blind) {
    return UsageError(absl::InvalidArgumentError(
        "a delete says what it removes: pass one of\n"
        "  --context TOKEN  exactly what an earlier get showed\n"
        "  --replace        what is there now (reads first)\n"
        "  --blind          whatever the node that takes the delete holds"));
  }
  kv::v1::DeleteRequest request;
  request.set_bucket(flags.item.bucket);
  request.set_key(flags.item.key);
  request.set_sort_key(flags.item.sort_key);
  request.set_blind(flags.blind);
  std::string context;
  if (absl::Status status = flags.write.Resolve(request.mutable_options(), &context);
      !status.ok()) {
    return UsageError(status);
  }
  request.set_context(context);
  auto options = invocation.client_options();
  if (!options.ok()) return UsageError(options.status());
  Client client(*options);

  if (flags.write.replace) {
    auto read = ReadForReplace(client, flags.item);
    if (!read.ok()) {
      return Fail(invocation, absl::StrCat("reading ", flags.item.Name(), " first"), read.status());
    }
    if (read->siblings().empty()) {
      if (invocation.json()) {
        PrintJson({{"found", false}});
      } else {
        std::fprintf(stderr, "annulus: del %s: not found, nothing was done\n",
                     flags.item.Name().c_str());
      }
      return kExitNotFound;
    }
    request.set_context(read->context());
  }
  auto response = client.Delete(request);
  if (!response.ok()) {
    return Fail(invocation, absl::StrCat("del ", flags.item.Name()), response.status(),
                request.options().request_id());
  }
  WarnAboutWrite(response->durable(), 0);
  if (invocation.json()) {
    nlohmann::ordered_json json = {{"outcome", "APPLIED"},
                                   {"context", Base64(response->context())},
                                   {"request_id", Hex(response->request_id())},
                                   {"acks", ToJson(response->acks())},
                                   {"durable", response->durable()}};
    if (response->has_explain()) json["explain"] = ToJson(response->explain());
    PrintJson(json);
    return kExitOk;
  }
  if (response->has_explain()) std::fputs(ToText(response->explain()).c_str(), stderr);
  std::printf("%s\n", Base64(response->context()).c_str());
  return kExitOk;
}

}  // namespace

void AddDel(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<DelFlags>();
  CLI::App* command = AddCommand(
      app, invocation, "del", "Remove a value; prints the new context",
      "  annulus del greeting --replace\n"
      "  annulus del greeting --context \"$(annulus get greeting -o json | jq -r .context)\"\n"
      "  annulus del greeting --blind\n"
      "A value that someone wrote meanwhile, and that the context does not cover, stays.",
      [&invocation, flags] { return RunDel(invocation, *flags); });
  flags->item.AddTo(command);
  flags->write.AddTo(command);
  command->add_flag("--blind", flags->blind, "remove whatever the node that takes the delete holds")
      ->excludes("--context")
      ->excludes("--replace");
  AddOutputFlag(command, invocation);
  AddConnectionFlags(command, invocation);
}

}  // namespace annulus::cli
