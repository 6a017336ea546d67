#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/commands/commands.h"
#include "cli/encoding.h"
#include "cli/table.h"

namespace annulus::cli {
namespace {

using nlohmann::ordered_json;

struct Share {
  uint32_t owned = 0;
  uint32_t first = 0;
};

int RunRing(Invocation& invocation, bool partitions) {
  auto options = invocation.client_options();
  if (!options.ok()) return UsageError(options.status());
  auto layout = Client(*options).Layout();
  if (!layout.ok()) return Fail(invocation, "ring", layout.status());

  std::vector<Share> shares(layout->members_size());
  const auto name = [&](uint32_t index) -> std::string {
    if (index >= shares.size()) return absl::StrCat("member ", index, "?");
    return Printable(layout->members(static_cast<int>(index)).name());
  };
  for (const auto& partition : layout->partitions()) {
    for (int i = 0; i < partition.owners_size(); ++i) {
      if (partition.owners(i) >= shares.size()) continue;
      ++shares[partition.owners(i)].owned;
      if (i == 0) ++shares[partition.owners(i)].first;
    }
  }

  if (invocation.json()) {
    ordered_json json = {{"cluster", layout->cluster()},
                         {"version", layout->version()},
                         {"replicas", layout->replicas()},
                         {"partitions", layout->partitions_size()},
                         {"members", ordered_json::array()}};
    for (int i = 0; i < layout->members_size(); ++i) {
      const auto& member = layout->members(i);
      json["members"].push_back({{"name", member.name()},
                                 {"node_id", HexId(member.node_id())},
                                 {"client", member.client_address()},
                                 {"peer", member.peer_address()},
                                 {"zone", member.zone()},
                                 {"partitions", shares[i].owned},
                                 {"first", shares[i].first}});
    }
    if (partitions) {
      json["owners"] = ordered_json::array();
      for (const auto& partition : layout->partitions()) {
        ordered_json owners = ordered_json::array();
        for (const uint32_t owner : partition.owners()) owners.push_back(name(owner));
        json["owners"].push_back(owners);
      }
    }
    PrintJson(json);
    return kExitOk;
  }

  if (layout->version() == 0) {
    std::printf("cluster %s has no layout yet: it is formed once every initial member is there\n",
                Printable(layout->cluster()).c_str());
    return kExitOk;
  }
  std::printf("cluster %s, layout %lu: %d partitions, %u replicas each\n\n",
              Printable(layout->cluster()).c_str(), static_cast<unsigned long>(layout->version()),
              layout->partitions_size(), layout->replicas());
  Table table({"member", "node id", "client", "peer", "zone", "partitions", "share", "first"});
  for (int i = 0; i < layout->members_size(); ++i) {
    const auto& member = layout->members(i);
    const double share =
        layout->partitions_size() == 0 ? 0 : 100.0 * shares[i].owned / layout->partitions_size();
    table.Add({Printable(member.name()), HexId(member.node_id()),
               Printable(member.client_address()), Printable(member.peer_address()),
               member.zone().empty() ? "-" : Printable(member.zone()),
               absl::StrCat(shares[i].owned), absl::StrFormat("%.1f%%", share),
               absl::StrCat(shares[i].first)});
  }
  std::fputs(table.ToString().c_str(), stdout);
  if (!partitions) return kExitOk;
  Table owners({"partition", "owners, first asked first"});
  for (int p = 0; p < layout->partitions_size(); ++p) {
    std::vector<std::string> names;
    for (const uint32_t owner : layout->partitions(p).owners()) names.push_back(name(owner));
    owners.Add({absl::StrCat(p), absl::StrJoin(names, "  ")});
  }
  std::printf("\n%s", owners.ToString().c_str());
  return kExitOk;
}

}  // namespace

void AddRing(CLI::App& app, Invocation& invocation) {
  auto partitions = std::make_shared<bool>(false);
  CLI::App* command =
      AddCommand(app, invocation, "ring", "Show the layout: members and the partitions they own",
                 "  annulus ring\n"
                 "  annulus ring --partitions | less\n"
                 "  annulus ring -o json",
                 [&invocation, partitions] { return RunRing(invocation, *partitions); });
  command->add_flag("--partitions", *partitions, "list the owners of every partition");
  AddOutputFlag(command, invocation);
  AddConnectionFlags(command, invocation);
}

}  // namespace annulus::cli
