#include "node/locate.h"

#include <utility>

#include "core/ring/ring.h"
#include "node/get.h"
#include "task/mailbox.h"

namespace annulus {
namespace {

struct Held {
  size_t holder;
  absl::StatusOr<ReadReply> reply;
};

Task<void> AskHere(NodeContext* node, ReadRequest request, Mailbox<Held>::Sender to,
                   size_t holder) {
  absl::StatusOr<ReadReply> reply = co_await ReadHere(node, std::move(request));
  // Posted, since it can end the flow that owns this one.
  node->env.loop->Post(
      [to, held = Held{holder, std::move(reply)}]() mutable { to.Deliver(std::move(held)); });
}

void Fill(HolderView* holder, const absl::StatusOr<ReadReply>& reply) {
  if (!reply.ok()) {
    holder->answer = std::string(reply.status().message());
    return;
  }
  holder->answer = reply->found ? "ok" : "not found";
  holder->epoch = reply->epoch;
  if (!reply->record.has_value()) return;
  absl::StatusOr<Record> record = DecodeRecord(*reply->record);
  if (record.ok()) {
    holder->record = *std::move(record);
  } else {
    holder->answer = std::string(record.status().message());
  }
}

}  // namespace

Task<absl::StatusOr<LocateAnswer>> RunLocate(NodeContext* node, Item item, Instant deadline) {
  std::shared_ptr<const Layout> layout = node->layout;
  if (layout == nullptr) {
    co_return WithDetails(absl::UnavailableError(node->not_ready_reason), {.reason = "NOT_READY"});
  }
  if (absl::Status valid = ValidateItem(item, node->options.limits); !valid.ok()) co_return valid;
  LocateAnswer answer{.hash = RingHash(item.bucket, item.key), .layout_version = layout->version()};
  answer.partition = PartitionOf(answer.hash, layout->partitions());

  Mailbox<Held> box(node->env.loop);
  TaskGroup local;
  size_t under_way = 0;
  // Fallbacks answer from their hints.
  std::vector<NodeId> holders = layout->Owners(answer.partition);
  const std::vector<NodeId> fallbacks = layout->Fallbacks(answer.partition);
  holders.insert(holders.end(), fallbacks.begin(), fallbacks.end());
  for (NodeId id : holders) {
    const size_t number = answer.holders.size();
    answer.holders.push_back({.id = id,
                              .name = node->NameOf(id),
                              .owner = layout->Owns(id, answer.partition),
                              .answer = "no answer"});
    ReadRequest request{item, UINT64_MAX};
    ++under_way;
    if (id == node->id) {
      local.Spawn(AskHere(node, std::move(request), box.sender(), number));
      continue;
    }
    node->peers->Call(
        id, std::move(request), deadline, [to = box.sender(), number](PeerResult result) {
          to.Deliver({number, result.ok() ? std::get<ReadReply>(*std::move(result))
                                          : absl::StatusOr<ReadReply>(result.status())});
        });
  }
  for (; under_way > 0; --under_way) {
    std::optional<Held> held = co_await box.Next(deadline);
    if (!held.has_value()) break;
    Fill(&answer.holders[held->holder], held->reply);
  }
  co_return answer;
}

}  // namespace annulus
