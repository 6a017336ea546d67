#include "cli/commands/write_flags.h"

#include <cstdio>

#include "cli/duration.h"
#include "cli/encoding.h"

namespace annulus::cli {

void WriteFlags::AddTo(CLI::App* command) {
  CLI::Option* given =
      command
          ->add_option("--context", context,
                       "replace exactly what this context covers (base64; from get, put or del)")
          ->type_name("TOKEN");
  command->add_flag("--replace", replace, "read first, and replace what is there")->excludes(given);
  consistency.AddTo(command, 'w');
  consistency.AddStrictTo(command);
  command
      ->add_option("--request-id", request_id,
                   "32 hex digits that name this write: repeated with them it is not written twice")
      ->type_name("HEX");
  command->add_flag("--explain", explain, "show which nodes were asked, and what they said");
}

absl::Status WriteFlags::Resolve(kv::v1::WriteOptions* options, std::string* context_bytes) const {
  options->set_consistency(consistency.value());
  options->set_w(consistency.number);
  options->set_sloppy(!consistency.strict);
  options->set_explain(explain);
  if (!request_id.empty()) {
    auto bytes = FromHex(request_id, 16, "--request-id");
    if (!bytes.ok()) return bytes.status();
    options->set_request_id(*bytes);
  }
  if (!ttl.empty()) {
    auto duration = ParseDuration(ttl, "--ttl");
    if (!duration.ok()) return duration.status();
    options->set_ttl_ms(duration->count());
  }
  if (!context.empty()) {
    auto bytes = FromBase64(context, "--context");
    if (!bytes.ok()) return bytes.status();
    *context_bytes = *std::move(bytes);
  }
  return absl::OkStatus();
}

absl::StatusOr<kv::v1::GetResponse> ReadForReplace(Client& client, const ItemFlags& item) {
  kv::v1::GetRequest request;
  request.set_bucket(item.bucket);
  request.set_key(item.key);
  request.set_sort_key(item.sort_key);
  return client.Get(request);
}

void WarnAboutWrite(bool durable, uint32_t siblings) {
  if (!durable) {
    std::fputs("note: a node that acknowledged it does not sync its log (sync is off)\n", stderr);
  }
  if (siblings > 1) {
    std::fprintf(stderr,
                 "note: the item has %u values side by side now; `annulus get` shows them, "
                 "--replace replaces them all\n",
                 siblings);
  }
}

}  // namespace annulus::cli
