#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "cli/commands/commands.h"
#include "cli/commands/write_flags.h"
#include "cli/encoding.h"

namespace annulus::cli {
namespace {

struct PutFlags {
  ItemFlags item;
  WriteFlags write;
  std::string value;
  std::string file;
};

// The whole file; "-" is standard input.
absl::StatusOr<std::string> ReadAll(const std::string& path) {
  std::FILE* file = path == "-" ? stdin : std::fopen(path.c_str(), "re");
  const std::string name = path == "-" ? "standard input" : path;
  if (file == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot open ", name, ": ", std::strerror(errno)));
  }
  std::string bytes;
  char buffer[64 << 10];
  size_t got;
  while ((got = std::fread(buffer, 1, sizeof(buffer), file)) > 0) bytes.append(buffer, got);
  const bool failed = std::ferror(file) != 0;
  const int error = errno;
  if (file != stdin) std::fclose(file);
  if (failed) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot read ", name, ": ", std::strerror(error)));
  }
  return bytes;
}

int RunPut(Invocation& invocation, PutFlags& flags, bool value_given) {
  if (absl::Status status = flags.item.Resolve(); !status.ok()) return UsageError(status);
  if (value_given == !flags.file.empty()) {
    return UsageError(absl::InvalidArgumentError(
        value_given ? "both VALUE and --file are given: pass one"
                    : "no value is given: pass VALUE, --file FILE, or - for standard input"));
  }
  kv::v1::PutRequest request;
  request.set_bucket(flags.item.bucket);
  request.set_key(flags.item.key);
  request.set_sort_key(flags.item.sort_key);
  std::string context;
  if (absl::Status status = flags.write.Resolve(request.mutable_options(), &context);
      !status.ok()) {
    return UsageError(status);
  }
  request.set_context(context);
  if (value_given && flags.value != "-") {
    request.set_value(flags.value);
  } else {
    auto bytes = ReadAll(value_given ? "-" : flags.file);
    if (!bytes.ok()) return UsageError(bytes.status());
    request.set_value(*std::move(bytes));
  }
  auto options = invocation.client_options();
  if (!options.ok()) return UsageError(options.status());
  Client client(*options);

  bool more = false;
  if (flags.write.replace) {
    auto read = ReadForReplace(client, flags.item);
    if (!read.ok()) {
      return Fail(invocation, absl::StrCat("reading ", flags.item.Name(), " first"), read.status());
    }
    request.set_context(read->context());
    more = read->more();
  }
  auto response = client.Put(request);
  if (!response.ok()) {
    return Fail(invocation, absl::StrCat("put ", flags.item.Name()), response.status(),
                request.options().request_id());
  }
  if (more) {
    std::fputs(
        "note: the record was larger than one answer, so some values are left; run it again\n",
        stderr);
  }
  WarnAboutWrite(response->durable(), response->siblings());
  if (invocation.json()) {
    nlohmann::ordered_json json = {{"outcome", "APPLIED"},
                                   {"context", Base64(response->context())},
                                   {"request_id", Hex(response->request_id())},
                                   {"acks", ToJson(response->acks())},
                                   {"durable", response->durable()},
                                   {"siblings", response->siblings()}};
    if (response->has_explain()) json["explain"] = ToJson(response->explain());
    PrintJson(json);
    return kExitOk;
  }
  if (response->has_explain()) std::fputs(ToText(response->explain()).c_str(), stderr);
  std::printf("%s\n", Base64(response->context()).c_str());
  return kExitOk;
}

}  // namespace

void AddPut(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<PutFlags>();
  auto given = std::make_shared<CLI::Option*>();
  CLI::App* command = AddCommand(
      app, invocation, "put", "Write a value; prints the new context",
      "  annulus put greeting hello\n"
      "  annulus put photo --file cat.jpg --ttl 7d\n"
      "  date | annulus put now -\n"
      "  annulus put greeting hi --replace       # replaces what is there\n"
      "  annulus put greeting hi --context \"$(annulus get greeting -o json | jq -r .context)\"\n"
      "Without --context or --replace the value stands beside those that are there.\n"
      "This is no compare-and-set: two writers with one context both succeed.",
      [&invocation, flags, given] { return RunPut(invocation, *flags, (*given)->count() > 0); });
  flags->item.AddTo(command);
  *given =
      command->add_option("VALUE", flags->value, "the value, at most 1 MiB; - reads standard input")
          ->type_name("");
  command->add_option("-f,--file", flags->file, "read the value from a file")->type_name("FILE");
  flags->write.AddTo(command);
  command
      ->add_option("--ttl", flags->write.ttl, "hide the value from reads after this time, like 10m")
      ->type_name("TIME");
  AddOutputFlag(command, invocation);
  AddConnectionFlags(command, invocation);
}

}  // namespace annulus::cli
