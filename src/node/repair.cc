#include "node/repair.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/anti_entropy.h"
#include "task/mailbox.h"

namespace annulus {
namespace {

struct Answered {
  NodeId owner;
  absl::StatusOr<HurryReply> reply;
};

}  // namespace

Task<absl::StatusOr<RepairAnswer>> RunRepair(NodeContext* node,
                                             std::optional<PartitionId> partition, Duration age,
                                             Instant deadline) {
  std::shared_ptr<const Layout> layout = node->layout;
  if (layout == nullptr) {
    co_return WithDetails(absl::UnavailableError(node->not_ready_reason), {.reason = "NOT_READY"});
  }
  if (partition.has_value() && partition->value() >= layout->partitions()) {
    co_return absl::InvalidArgumentError(absl::StrCat("there is no partition ", partition->value(),
                                                      ": they are numbered from 0 to ",
                                                      layout->partitions() - 1));
  }
  RepairAnswer answer;
  std::map<NodeId, std::vector<PartitionId>> by_owner;
  for (uint32_t p = 0; p < layout->partitions(); ++p) {
    if (partition.has_value() && partition->value() != p) continue;
    ++answer.partitions;
    by_owner[node->peers->InAskingOrder(layout->Owners(PartitionId(p))).front()].emplace_back(p);
  }

  Mailbox<Answered> box(node->env.loop);
  for (auto& [owner, partitions] : by_owner) {
    HurryRequest request{std::move(partitions)};
    if (owner == node->id) {
      box.sender().Deliver({owner, node->anti_entropy->Answer(request)});
      continue;
    }
    node->peers->Call(
        owner, std::move(request), deadline, [to = box.sender(), owner = owner](PeerResult result) {
          to.Deliver({owner, result.ok() ? std::get<HurryReply>(*std::move(result))
                                         : absl::StatusOr<HurryReply>(result.status())});
        });
  }
  for (size_t i = 0; i < by_owner.size(); ++i) {
    std::optional<Answered> answered = co_await box.Next();
    if (!answered->reply.ok()) continue;
    for (const std::optional<Duration>& level : answered->reply->ages) {
      answer.level += level.has_value() && *level <= age;
    }
  }
  for (const Member& member : layout->members()) {
    if (member.id == node->id) continue;
    if (node->peers->StateOf(member.id) != Liveness::State::kUp) {
      answer.missing.push_back(member.name);
    }
  }
  co_return answer;
}

}  // namespace annulus
