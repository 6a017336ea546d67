#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/commands/commands.h"
#include "cli/encoding.h"
#include "cli/failure.h"
#include "cli/record_file.h"
#include "cli/table.h"

namespace annulus::cli {
namespace {

using nlohmann::ordered_json;

ordered_json AsJson(const admin::v1::LocateResponse& place) {
  ordered_json holders = ordered_json::array();
  for (const auto& holder : place.holders()) {
    ordered_json versions = ordered_json::array();
    for (const auto& version : holder.versions()) {
      versions.push_back({{"dot", version.dot()},
                          {"size", version.size()},
                          {"tombstone", version.tombstone()},
                          {"write_time_us", version.write_time_us()},
                          {"expires_us", version.expires_us()}});
    }
    holders.push_back({{"name", holder.name()},
                       {"node_id", HexId(holder.node_id())},
                       {"owner", holder.owner()},
                       {"answer", holder.answer()},
                       {"versions", versions},
                       {"vector", holder.vector()},
                       {"epoch", holder.epoch()}});
  }
  return {{"hash", HexId(place.hash())},
          {"partition", place.partition()},
          {"layout_version", place.layout_version()},
          {"holders", holders}};
}

// What this record needs: how many owners a read and a write at each level wait for, and how many
// can be missing meanwhile.
std::string QuorumText(int owners, int answering) {
  Table table({"level", "waits for", "may be missing", "now"});
  const int quorum = owners / 2 + 1;
  for (const auto& [level, needed] :
       {std::pair{"one", 1}, std::pair{"quorum", quorum}, std::pair{"all", owners}}) {
    table.Add({level, absl::StrFormat("%d of %d", needed, owners), absl::StrCat(owners - needed),
               answering >= needed ? "can be served" : "cannot be served"});
  }
  std::string text = table.ToString();
  absl::StrAppendFormat(&text, "a quorum read meets every quorum write: R + W = %d + %d > N = %d\n",
                        quorum, quorum, owners);
  return text;
}

void PrintPlace(const ItemFlags& item, const admin::v1::LocateResponse& place) {
  std::printf("%s: hash %s, partition %u, layout %lu\n\n", item.Name().c_str(),
              HexId(place.hash()).c_str(), place.partition(),
              static_cast<unsigned long>(place.layout_version()));
  int owners = 0, answering = 0;
  Table list({"#", "node", "role", "answer", "holds", "vector", "epoch"});
  for (int i = 0; i < place.holders_size(); ++i) {
    const auto& holder = place.holders(i);
    const bool answered = holder.answer() == "ok" || holder.answer() == "not found";
    owners += holder.owner();
    answering += holder.owner() && answered;
    std::vector<std::string> held;
    for (const auto& version : holder.versions()) {
      held.push_back(version.tombstone() ? absl::StrCat("deleted @ ", Printable(version.dot()))
                                         : absl::StrCat(HumanBytes(version.size()), " @ ",
                                                        Printable(version.dot())));
    }
    list.Add({absl::StrCat(i + 1), Printable(holder.name()), holder.owner() ? "owner" : "fallback",
              Printable(holder.answer()), held.empty() ? "-" : absl::StrJoin(held, ", "),
              holder.vector().empty() ? "-" : Printable(holder.vector()),
              absl::StrCat(holder.epoch())});
  }
  std::printf("%s\n", list.ToString().c_str());
  if (owners > 0) std::printf("%s\n", QuorumText(owners, answering).c_str());
}

int RunExplain(Invocation& invocation, ItemFlags& item) {
  if (absl::Status status = item.Resolve(); !status.ok()) return UsageError(status);
  auto options = invocation.client_options();
  if (!options.ok()) return UsageError(options.status());
  Client client(*options);

  admin::v1::LocateRequest locate;
  locate.set_bucket(item.bucket);
  locate.set_key(item.key);
  locate.set_sort_key(item.sort_key);
  auto place = client.Locate(locate);
  if (!place.ok()) return Fail(invocation, absl::StrCat("explain ", item.Name()), place.status());
  kv::v1::GetRequest get;
  get.set_bucket(item.bucket);
  get.set_key(item.key);
  get.set_sort_key(item.sort_key);
  get.mutable_options()->set_explain(true);
  const auto read = client.Get(get);

  if (invocation.json()) {
    ordered_json json = AsJson(*place);
    if (read.ok()) {
      json["read"] = {{"siblings", read->siblings_size()},
                      {"tombstone", read->tombstone()},
                      {"answers", read->answers()}};
      if (read->has_explain()) json["read"]["explain"] = ToJson(read->explain());
    } else {
      json["read"] = {{"error", std::string(read.status().message())}};
    }
    PrintJson(json);
  } else {
    PrintPlace(item, *place);
    if (read.ok()) {
      std::printf("a read now: %s, %u answers\n",
                  read->siblings_size() == 0 ? "not found"
                  : read->siblings_size() == 1
                      ? "one value"
                      : absl::StrCat(read->siblings_size(), " values side by side").c_str(),
                  read->answers());
      if (read->has_explain()) std::fputs(ToText(read->explain()).c_str(), stdout);
    }
  }
  if (!read.ok()) {
    std::fprintf(stderr, "annulus: %s\n", Describe("a read now", read.status()).c_str());
    return ExitCodeFor(read.status());
  }
  return kExitOk;
}

}  // namespace

void AddExplain(CLI::App& app, Invocation& invocation) {
  auto item = std::make_shared<ItemFlags>();
  CLI::App* command =
      AddCommand(app, invocation, "explain",
                 "Show where a key lives, what each owner holds, and how a read runs",
                 "  annulus explain greeting\n"
                 "  annulus explain greeting -o json | jq '.holders[].name'",
                 [&invocation, item] { return RunExplain(invocation, *item); });
  item->AddTo(command);
  AddOutputFlag(command, invocation);
  AddConnectionFlags(command, invocation);
}

}  // namespace annulus::cli
