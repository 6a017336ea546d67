#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "cli/commands/commands.h"
#include "cli/encoding.h"
#include "cli/record_file.h"

namespace annulus::cli {
namespace {

struct ScanFlags {
  std::string bucket = "default";
  std::string key;
  std::string page_token;
  bool base64 = false;
  bool values = false;
  bool tombstones = false;
  uint64_t limit = 0;
  ConsistencyFlags consistency;
};

// KEY, or KEY <tab> VALUE, or KEY <tab> SORT KEY <tab> VALUE in escapes: one line each, for people.
void PrintPlain(const kv::v1::ScanItem& item, bool values) {
  std::string line = Printable(item.key());
  if (!item.sort_key().empty()) absl::StrAppend(&line, "\t", Printable(item.sort_key()));
  if (values && item.siblings_size() == 1) {
    absl::StrAppend(&line, "\t", Printable(item.siblings(0).value()));
  } else if (values && item.siblings_size() > 1) {
    absl::StrAppend(&line, "\t(", item.siblings_size(), " values)");
  }
  if (item.siblings_size() == 0 && item.tombstone()) absl::StrAppend(&line, "\t(deleted)");
  line += "\n";
  std::fwrite(line.data(), 1, line.size(), stdout);
}

int RunScan(Invocation& invocation, ScanFlags& flags) {
  kv::v1::ScanRequest request;
  request.set_bucket(flags.bucket);
  request.set_key(flags.key);
  if (flags.base64) {
    auto key = FromBase64(flags.key, "--key");
    if (!key.ok()) return UsageError(key.status());
    request.set_key(*key);
  }
  request.set_values(flags.values);
  request.set_tombstones(flags.tombstones);
  request.set_limit(flags.limit);
  if (!flags.page_token.empty()) {
    auto token = FromBase64(flags.page_token, "--page-token");
    if (!token.ok()) return UsageError(token.status());
    request.set_page_token(*token);
  }
  request.mutable_options()->set_consistency(flags.consistency.value());
  request.mutable_options()->set_r(flags.consistency.number);
  auto options = invocation.client_options();
  if (!options.ok()) return UsageError(options.status());

  std::string page_token;
  const absl::Status status = Client(*options).Scan(request, [&](const kv::v1::ScanResponse& page) {
    for (const auto& item : page.items()) {
      if (invocation.json()) {
        PrintJson(ToJson(item, flags.values, /*details=*/true));
      } else {
        PrintPlain(item, flags.values);
      }
    }
    page_token = page.page_token();
    return std::ferror(stdout) == 0;  // Nobody reads on: `annulus scan | head`.
  });
  std::fflush(stdout);
  if (!status.ok()) {
    const int code = Fail(invocation, absl::StrCat("scan of bucket ", flags.bucket), status);
    if (!page_token.empty()) {
      std::fprintf(stderr, "  to go on behind the last line: --page-token %s\n",
                   Base64(page_token).c_str());
    }
    return code;
  }
  if (flags.limit > 0 && !page_token.empty()) {
    std::fprintf(stderr, "next page: --page-token %s\n", Base64(page_token).c_str());
  }
  return kExitOk;
}

}  // namespace

void AddScan(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<ScanFlags>();
  CLI::App* command =
      AddCommand(app, invocation, "scan", "List the keys of a bucket, in the order of the ring",
                 "  annulus scan | wc -l\n"
                 "  annulus scan --bucket users --values -o json\n"
                 "  annulus scan --key cart-17              # the sort keys of one key\n"
                 "  annulus scan --limit 100                # says on standard error how to go on\n"
                 "With -o json, one object a line.",
                 [&invocation, flags] { return RunScan(invocation, *flags); });
  command->add_option("-b,--bucket", flags->bucket, "the bucket (default: default)")
      ->type_name("NAME");
  command->add_option("--key", flags->key, "only the items of this key")->type_name("TEXT");
  command->add_flag("--base64", flags->base64, "--key is given in base64");
  command->add_flag("--values", flags->values, "print the values too");
  command->add_flag("--tombstones", flags->tombstones, "list deleted items too");
  command->add_option("--limit", flags->limit, "stop after so many items")->type_name("N");
  command
      ->add_option("--page-token", flags->page_token, "go on where an earlier scan ended (base64)")
      ->type_name("TOKEN");
  flags->consistency.AddTo(command, 'r');
  AddOutputFlag(command, invocation);
  AddConnectionFlags(command, invocation);
}

}  // namespace annulus::cli
