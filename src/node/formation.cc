#include "node/formation.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/checksum.h"
#include "node/identity.h"
#include "node/namesake.h"
#include "task/mailbox.h"
#include "task/sleep.h"

namespace annulus {
namespace {

constexpr Duration kIntroductionMax = 1s;
// For so long nobody may answer as the old holder of an id that is taken again.
constexpr Duration kHolderSilence = 2s;
constexpr Duration kHolderProbe = 500ms;

uint64_t FormationDigest(const NodeOptions& options) {
  std::vector<std::string> names;
  for (const NodeOptions::Seed& seed : options.seeds) {
    names.push_back(absl::StrCat(seed.name, "@", seed.zone));
  }
  std::sort(names.begin(), names.end());
  Bytes bytes;
  PutSized(&bytes, options.cluster);
  PutVarint(&bytes, options.partitions);
  PutVarint(&bytes, options.replicas);
  for (const std::string& name : names) PutSized(&bytes, name);
  return Hash64(bytes);
}

struct Introduced {
  size_t seed;
  PeerResult result;
};

// Asks every other configured member, at once, who it is. Answers by position in options.seeds.
Task<std::vector<absl::StatusOr<IntroduceReply>>> AskAll(
    NodeContext* node, const std::vector<std::unique_ptr<Link>>& links) {
  std::vector<absl::StatusOr<IntroduceReply>> replies(links.size(),
                                                      absl::UnavailableError("no answer"));
  Mailbox<Introduced> box(node->env.loop);
  size_t under_way = 0;
  const Instant deadline = node->Now() + kIntroductionMax;
  for (size_t i = 0; i < links.size(); ++i) {
    if (links[i] == nullptr) continue;
    ++under_way;
    links[i]->Call(IntroduceRequest{}, deadline, LayoutVersion{},
                   [to = box.sender(), i](PeerResult result) {
                     to.Deliver({i, std::move(result)});
                   });
  }
  for (; under_way > 0; --under_way) {
    std::optional<Introduced> introduced = co_await box.Next();
    if (!introduced->result.ok()) {
      replies[introduced->seed] = introduced->result.status();
    } else {
      replies[introduced->seed] = std::get<IntroduceReply>(*std::move(introduced->result));
    }
  }
  co_return replies;
}

// OK, or why this answer cannot be the configured member's.
absl::Status CheckIntroduction(const NodeContext& node, const NodeOptions::Seed& seed,
                               const IntroduceReply& reply) {
  if (reply.cluster != node.options.cluster) {
    return absl::FailedPreconditionError(absl::StrCat(
        seed.peer_address, " is of cluster \"", reply.cluster, "\": check members and cluster"));
  }
  if (reply.name != seed.name || !reply.storage) {
    return absl::FailedPreconditionError(absl::StrCat(seed.peer_address, " answers as \"",
                                                      reply.name, "\" and not as node \"",
                                                      seed.name, "\": check members"));
  }
  if (node.replica != nullptr && reply.layout.empty() &&
      reply.formation_digest != FormationDigest(node.options)) {
    return absl::FailedPreconditionError(
        absl::StrCat(seed.name, " is configured with other members, partitions or replicas than ",
                     node.options.name, ": they must be the same on every node"));
  }
  return absl::OkStatus();
}

// OK where this node may live under the layout.
absl::Status CheckLayout(const NodeContext& node, const Layout& layout) {
  if (layout.cluster() != node.options.cluster) {
    return absl::FailedPreconditionError(
        absl::StrCat("the layout is of cluster \"", layout.cluster(), "\""));
  }
  if (node.replica == nullptr) return absl::OkStatus();
  if (layout.partitions() != node.options.partitions) {
    return absl::FailedPreconditionError(
        absl::StrCat("the cluster has ", layout.partitions(), " partitions for life, not ",
                     node.options.partitions, "; set partitions to that number"));
  }
  if (layout.FindMember(node.id) != nullptr) return absl::OkStatus();
  // Its data directory is new, the member is not: see TakeOverFrom.
  if (layout.FindMember(node.options.name) != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("layout ", layout.version().value(), " has no member ", node.options.name,
                   ": this version cannot add nodes to a formed cluster"));
}

// Where the member may be: by the layout, by this configuration, and as the others last heard.
Task<std::set<std::string>> PlacesOf(NodeContext* node, Member member,
                                     const std::vector<std::unique_ptr<Link>>& links) {
  std::set<std::string> places = {member.peer_address, node->options.peer_address};
  Mailbox<PeerResult> box(node->env.loop);
  size_t under_way = 0;
  for (size_t i = 0; i < links.size(); ++i) {
    const NodeOptions::Seed& seed = node->options.seeds[i];
    if (seed.name == member.name) places.insert(seed.peer_address);
    if (links[i] == nullptr) continue;
    ++under_way;
    links[i]->Call(RecallRequest{.node = member.id}, node->Now() + kIntroductionMax,
                   LayoutVersion{},
                   [to = box.sender()](PeerResult result) { to.Deliver(std::move(result)); });
  }
  for (; under_way > 0; --under_way) {
    std::optional<PeerResult> result = co_await box.Next();
    if (result->ok()) places.insert(std::get<RecallReply>(**result).peer_address);
  }
  co_return places;
}

// This data directory is new, and the layout has a member of this name: this node is that member,
// whose disk was lost, unless that one still answers.
Task<absl::Status> TakeOverFrom(NodeContext* node, Member member, const Layout& layout,
                                const std::vector<std::unique_ptr<Link>>& links) {
  std::optional<Namesake> holder;
  const Instant until = node->Now() + kHolderSilence;
  while (!holder.has_value() && node->Now() < until) {
    std::set<std::string> places = co_await PlacesOf(node, member, links);
    holder = co_await FindNamesake(node, member.id, std::move(places), kHolderProbe);
    if (!holder.has_value()) co_await Sleep(node->env.loop, node->options.formation_interval);
  }
  if (holder.has_value()) {
    co_return absl::FailedPreconditionError(
        absl::StrCat("layout ", layout.version().value(), " knows ", member.name, " as node ",
                     ToHex(member.id), ", which still answers at ", holder->address,
                     ", and this data directory is new: stop that process first, or start this "
                     "one with the old data directory"));
  }
  std::string cluster = node->options.cluster;
  absl::Status taken =
      co_await TakeOver(node->env, member.id, std::move(cluster), member.name, layout);
  if (!taken.ok()) {
    co_return absl::Status(taken.code(),
                           absl::StrCat("the old id could not be stored: ", taken.message()));
  }
  node->id = member.id;
  node->fresh = false;
  node->rebuild_all = true;
  node->env.transport->SetIdentity(node->id, node->incarnation);
  const std::string what =
      absl::StrCat("this disk was empty: ", member.name, " is node ", ToHex(member.id), " again");
  node->events("disk_not_as_it_was", what);
  node->notices.push_back(what);
  co_return absl::OkStatus();
}

Member MemberOf(const IntroduceReply& reply) {
  return {.id = reply.id,
          .name = reply.name,
          .peer_address = reply.peer_address,
          .client_address = reply.client_address,
          .zone = reply.zone};
}

Task<bool> Adopt(NodeContext* node, Layout layout) {
  if (node->replica != nullptr) {
    absl::Status stored = co_await StoreLayout(node->env, layout);
    if (!stored.ok()) {
      node->not_ready_reason = absl::StrCat("the layout could not be stored: ", stored.message());
      co_return false;
    }
  }
  node->joining = std::make_shared<const Layout>(std::move(layout));
  co_return true;
}

// One round: whether there is a layout now.
Task<bool> Round(NodeContext* node, const std::vector<std::unique_ptr<Link>>& links) {
  const std::vector<absl::StatusOr<IntroduceReply>> replies = co_await AskAll(node, links);
  std::vector<std::string> problems;
  std::vector<Member> members;
  bool smallest = node->replica != nullptr;
  for (size_t i = 0; i < links.size(); ++i) {
    const NodeOptions::Seed& seed = node->options.seeds[i];
    if (links[i] == nullptr) {
      members.push_back(MemberOf(Introduce(*node)));
      continue;
    }
    smallest &= node->options.name < seed.name;
    if (!replies[i].ok()) {
      problems.push_back(absl::StrCat("no answer from ", seed.name, " (", seed.peer_address, ")"));
      continue;
    }
    if (absl::Status same = CheckIntroduction(*node, seed, *replies[i]); !same.ok()) {
      problems.emplace_back(same.message());
      continue;
    }
    if (!replies[i]->layout.empty()) {
      absl::StatusOr<Layout> layout = Layout::Decode(replies[i]->layout);
      absl::Status fits = layout.ok() ? CheckLayout(*node, *layout) : layout.status();
      const Member* self = fits.ok() ? layout->FindMember(node->options.name) : nullptr;
      if (node->replica != nullptr && self != nullptr && self->id != node->id) {
        fits = co_await TakeOverFrom(node, *self, *layout, links);
      }
      if (fits.ok()) {
        bool adopted = co_await Adopt(node, *std::move(layout));
        co_return adopted;
      }
      problems.emplace_back(fits.message());
      continue;
    }
    members.push_back(MemberOf(*replies[i]));
  }
  if (smallest && problems.empty() && members.size() == links.size()) {
    absl::StatusOr<Layout> formed =
        Layout::Form(node->options.cluster, LayoutVersion(1), std::move(members),
                     node->options.partitions, node->options.replicas, nullptr);
    if (formed.ok()) {
      bool adopted = co_await Adopt(node, *std::move(formed));
      co_return adopted;
    }
    problems.emplace_back(formed.status().message());
  }
  node->not_ready_reason =
      problems.empty() ? "waiting for the layout" : "no layout: " + absl::StrJoin(problems, "; ");
  co_return false;
}

}  // namespace

Task<void> RunFormation(NodeContext* node) {
  std::vector<std::unique_ptr<Link>> links;
  for (const NodeOptions::Seed& seed : node->options.seeds) {
    const bool self = node->replica != nullptr && seed.name == node->options.name;
    links.push_back(self ? nullptr : node->env.transport->Open(seed.peer_address, NodeId{}));
  }
  std::string reported;
  while (node->joining == nullptr) {
    const bool formed = co_await Round(node, links);
    if (formed) break;
    if (node->not_ready_reason != reported) {
      reported = node->not_ready_reason;
      node->events("not_ready", reported);
    }
    co_await Sleep(node->env.loop, node->options.formation_interval);
  }
}

IntroduceReply Introduce(const NodeContext& node) {
  const Layout* layout = node.layout != nullptr ? node.layout.get() : node.joining.get();
  return {.cluster = node.options.cluster,
          .name = node.options.name,
          .id = node.id,
          .incarnation = node.incarnation,
          .storage = node.replica != nullptr,
          .peer_address = node.options.peer_address,
          .client_address = node.options.client_address,
          .zone = node.options.zone,
          .layout = layout == nullptr ? Bytes() : layout->Encode(),
          .formation_digest = FormationDigest(node.options),
          .claim = ClaimOf(node),
          .started = node.started_wall};
}

}  // namespace annulus
