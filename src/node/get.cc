#include "node/get.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/planted.h"
#include "core/quorum/read_quorum.h"
#include "core/ring/ring.h"
#include "node/trace.h"
#include "task/mailbox.h"

namespace annulus {
namespace {

// An answer stays below what a stock gRPC client takes (4 MiB).
constexpr size_t kShownBytesMax = 3584 << 10;
// A replica that said nothing for so long may be asked again.
constexpr Duration kAttemptMax = 1s;

struct Answered {
  NodeId replica;
  absl::StatusOr<ReplicaAnswer> answer;
};

absl::StatusOr<ReplicaAnswer> Decoded(absl::StatusOr<ReadReply> reply) {
  if (!reply.ok()) return reply.status();
  ReplicaAnswer answer{.found = reply->found,
                       .digest = reply->digest,
                       .stamp = reply->epoch,
                       .closed = reply->closed,
                       .rebuilding = reply->rebuilding};
  if (reply->record.has_value()) {
    absl::StatusOr<Record> record = DecodeRecord(*reply->record);
    if (!record.ok()) return record.status();
    answer.record = *std::move(record);
  }
  return answer;
}

ReplicaAnswer AnswerHere(Replica::Copy copy) {
  return {.found = copy.record.has_value(),
          .record = std::move(copy.record),
          .stamp = copy.stamp,
          .closed = copy.closed,
          .rebuilding = copy.rebuilding};
}

// Of an own copy that memory has.
std::optional<absl::StatusOr<Replica::Copy>> ReadOwnNow(NodeContext* node, const Item& item) {
  if (node->replica == nullptr || node->layout == nullptr ||
      !node->layout->Owns(node->id, node->PartitionOf(item))) {
    return std::nullopt;
  }
  return node->replica->ReadNow(item);
}

// Sends one read's questions; the answers come to its mailbox.
class Asker {
 public:
  Asker(NodeContext* node, Item item, Instant deadline, Mailbox<Answered>::Sender answers,
        TaskGroup* local, Trace* trace)
      : node_(node),
        item_(std::move(item)),
        deadline_(deadline),
        answers_(std::move(answers)),
        local_(local),
        trace_(trace) {}

  void Ask(const ReadQuorum::Asks& asks) {
    for (const ReadQuorum::Ask& ask : asks) {
      const size_t hop =
          Trace::Asked(trace_->weak(), ask.node, ask.whole ? Hop::Kind::kRead : Hop::Kind::kDigest,
                       node_->Now());
      if (ask.node == node_->id) {
        if (std::optional<absl::StatusOr<Replica::Copy>> copy = ReadOwnNow(node_, item_)) {
          answers_.Deliver(Taken(*std::move(copy), hop));
        } else {
          local_->Spawn(AskHere(hop));
        }
        continue;
      }
      ReadRequest request{item_, ask.whole ? UINT64_MAX : node_->options.whole_record_bytes_max};
      node_->peers->Call(
          ask.node, std::move(request), std::min(deadline_, node_->Now() + kAttemptMax),
          [answers = answers_, replica = ask.node, hop, trace = trace_->weak(),
           loop = node_->env.loop](PeerResult result) {
            Trace::Answered(trace, hop, result.status(), loop->Now());
            answers.Deliver({replica, result.ok()
                                          ? Decoded(std::get<ReadReply>(*std::move(result)))
                                          : absl::StatusOr<ReplicaAnswer>(result.status())});
          });
    }
  }

 private:
  Task<void> AskHere(size_t hop) {
    Item item = item_;
    absl::StatusOr<Replica::Copy> copy = co_await ReadOwn(node_, std::move(item));
    // Posted: an answer can end the read, and with it this flow, which must not be running then.
    node_->env.loop->Post([answers = answers_, answered = Taken(std::move(copy), hop)]() mutable {
      answers.Deliver(std::move(answered));
    });
  }

  // What this node's own copy says.
  Answered Taken(absl::StatusOr<Replica::Copy> copy, size_t hop) {
    Trace::Answered(trace_->weak(), hop, copy.status(), node_->Now());
    if (!copy.ok()) return {node_->id, copy.status()};
    return {node_->id, AnswerHere(*std::move(copy))};
  }

  NodeContext* node_;
  Item item_;
  Instant deadline_;
  Mailbox<Answered>::Sender answers_;
  TaskGroup* local_;
  Trace* trace_;
};

absl::Status Unreached(const NodeContext& node, const ReadQuorum& quorum, uint32_t required,
                       Instant deadline, const absl::Status& last) {
  const ErrorDetails details{.reason = "QUORUM_NOT_REACHED"};
  if (absl::IsDataLoss(last)) return WithDetails(last, {.reason = "DATA_LOSS"});
  const std::string text = absl::StrCat(
      quorum.settled(), " of ", required, " replicas answered",
      quorum.settled() >= required ? ", and what they hold does not cover at_least" : "",
      last.ok() ? "" : "; last error: ", last.message());
  if (node.Now() >= deadline) {
    return WithDetails(absl::DeadlineExceededError(absl::StrCat("the deadline passed: ", text)),
                       details);
  }
  return WithDetails(absl::UnavailableError(text), details);
}

// What an owner said to a repair.
struct Repaired {
  NodeId owner;
  absl::Status status;
};

Task<void> MergeHere(NodeContext* node, ReplicateRequest request,
                     Mailbox<Repaired>::Sender repaired) {
  Place place{std::move(request.item), NodeId()};
  Replica::Merging merging{std::move(request.record), request.epoch};
  absl::Status merged = co_await node->replica->ApplyMerge(std::move(place), std::move(merging));
  // Posted, since it can end the flow that owns this one.
  node->env.loop->Post([repaired, answer = Repaired{node->id, std::move(merged)}]() mutable {
    repaired.Deliver(std::move(answer));
  });
}

enum class RepairVerdict : uint8_t {
  kDone,        // The read may be answered.
  kNotReached,  // By the deadline.
  kStale,       // A round of reaping has ended since something was read: it is to be read again.
};

// Whether what a read is to show is durable at R owners, and no owner that answered lacks it.
bool IsLevel(const ReadQuorum& quorum, uint32_t required) {
  return quorum.Lacking().empty() && quorum.Level().size() >= required;
}

// Makes what a read is to show durable at R owners, so that no later read of R owners shows less;
// the other owners that are known to lack a part of it are sent it too, and not waited for. A
// sloppy read waits only for those that lack it, and only while they are not silent.
Task<RepairVerdict> Repair(NodeContext* node, const ReadQuorum& quorum, const GetRequest& request,
                           const std::vector<NodeId>& owners, uint32_t required, Instant deadline,
                           Trace* trace, TaskGroup* local) {
  AckQuorum level(required, owners);
  std::vector<NodeId> others = owners;  // Neither known to lack it, nor to hold it.
  for (NodeId owner : quorum.Level()) {
    level.Ack(owner);
    std::erase(others, owner);
  }
  const ReadQuorum::Nodes to_send = quorum.Lacking();
  for (NodeId owner : to_send) std::erase(others, owner);
  if (PlantedBugs::Has(PlantedBug::kReadRepairForgotten)) co_return RepairVerdict::kDone;

  const ReplicateRequest repair{request.item, Encode(quorum.merged()), quorum.stamp()};
  Mailbox<Repaired> answers(node->env.loop);
  size_t under_way = 0;
  auto send = [&](NodeId owner) {
    ++under_way;
    ++node->counters.read_repairs;
    const size_t hop = Trace::Asked(trace->weak(), owner, Hop::Kind::kRepair, node->Now());
    if (owner == node->id) {
      local->Spawn(MergeHere(node, repair, answers.sender()));
      return;
    }
    node->peers->Call(owner, repair, deadline,
                      [to = answers.sender(), owner, hop, log = trace->weak(),
                       loop = node->env.loop](PeerResult result) {
                        Trace::Answered(log, hop, result.status(), loop->Now());
                        to.Deliver({owner, result.status()});
                      });
  };
  for (NodeId owner : to_send) send(owner);
  if (PlantedBugs::Has(PlantedBug::kReadRepairNotAwaited)) co_return RepairVerdict::kDone;

  // Where those do not confirm it, the other owners will do.
  size_t next = 0;
  while (level.verdict() != Verdict::kWon) {
    if (request.sloppy && under_way == 0) break;
    std::optional<Repaired> answer =
        co_await answers.Next(std::min(deadline, node->Now() + node->options.silence_max));
    if (answer.has_value()) {
      --under_way;
      if (answer->status.ok()) {
        level.Ack(answer->owner);
        continue;
      }
      if (DetailsOf(answer->status).reason == kReasonStaleStamp) co_return RepairVerdict::kStale;
    } else if (node->Now() >= deadline) {
      break;
    }
    if (request.sloppy) {
      if (!answer.has_value()) break;
    } else if (next < others.size()) {
      send(others[next++]);
    } else if (!answer.has_value()) {
      // A merge is idempotent. Those that have confirmed it are left alone, and the rest is paid
      // for out of what has succeeded: a record may be large, and who is silent overloaded.
      for (NodeId owner : node->peers->InAskingOrder(owners)) {
        if (!level.HasAcked(owner) && node->peers->MayRepeat()) send(owner);
      }
    }
  }
  co_return request.sloppy || level.verdict() == Verdict::kWon ? RepairVerdict::kDone
                                                               : RepairVerdict::kNotReached;
}

}  // namespace

Task<absl::StatusOr<Replica::Copy>> ReadOwn(NodeContext* node, Item item) {
  std::shared_ptr<const Layout> layout = node->layout;
  if (node->replica == nullptr || layout == nullptr) {
    co_return WithDetails(absl::FailedPreconditionError("a coordinator stores nothing"),
                          {.reason = "NOT_OWNER"});
  }
  const PartitionId partition = node->PartitionOf(item);
  absl::StatusOr<Replica::Copy> copy = absl::UnavailableError("");
  if (layout->Owns(node->id, partition)) {
    copy = co_await node->replica->Read(std::move(item));
  } else {
    std::vector<NodeId> owners = layout->Owners(partition);
    copy = co_await node->replica->ReadHints(std::move(item), std::move(owners));
  }
  co_return copy;
}

namespace {

ReadReply ReplyOf(const ReadRequest& request, const Replica::Copy& copy) {
  ReadReply reply{.epoch = copy.stamp, .closed = copy.closed, .rebuilding = copy.rebuilding};
  if (!copy.record.has_value()) return reply;
  reply.found = true;
  if (SizeOf(*copy.record) <= request.whole_up_to_bytes) {
    reply.record = Encode(*copy.record);
  } else {
    reply.digest = DigestOf(request.item, *copy.record);
  }
  return reply;
}

}  // namespace

Task<absl::StatusOr<ReadReply>> ReadHere(NodeContext* node, ReadRequest request) {
  Item item = request.item;
  absl::StatusOr<Replica::Copy> copy = co_await ReadOwn(node, std::move(item));
  if (!copy.ok()) co_return copy.status();
  co_return ReplyOf(request, *copy);
}

std::optional<absl::StatusOr<ReadReply>> ReadHereNow(NodeContext* node,
                                                     const ReadRequest& request) {
  std::optional<absl::StatusOr<Replica::Copy>> copy = ReadOwnNow(node, request.item);
  if (!copy.has_value()) return std::nullopt;
  if (!copy->ok()) return copy->status();
  return ReplyOf(request, **copy);
}

GetAnswer AnswerOf(const NodeContext& node, const Item& item, Record record, bool values) {
  const Shown shown = Show(record, node.env.clock->Wall(), kShownBytesMax);
  GetAnswer answer{.more = shown.more, .tombstone = shown.tombstone};
  if (!shown.context.empty()) answer.context = node.tokens.SealContext(item, shown.context);
  answer.siblings.reserve(shown.siblings.size());
  for (const Sibling* sibling : shown.siblings) {
    Sibling& own = record.siblings[static_cast<size_t>(sibling - record.siblings.data())];
    answer.siblings.push_back({.value = values ? std::move(own.value) : Bytes(),
                               .write_time = sibling->write_time,
                               .expires = sibling->expires,
                               .request_id = sibling->request_id});
  }
  return answer;
}

namespace {

// A read that is in order.
struct Admitted {
  PartitionId partition;
  std::vector<NodeId> owners;
  uint32_t required = 0;
  VersionVector at_least;
};

absl::StatusOr<Admitted> Admit(const NodeContext& node, const GetRequest& request) {
  if (node.layout == nullptr) {
    return WithDetails(absl::UnavailableError(node.not_ready_reason), {.reason = "NOT_READY"});
  }
  if (absl::Status valid = ValidateItem(request.item, node.options.limits); !valid.ok()) {
    return valid;
  }
  Admitted admitted{.partition = node.PartitionOf(request.item)};
  admitted.owners = node.layout->Owners(admitted.partition);
  absl::StatusOr<uint32_t> required =
      Resolve(request.r, static_cast<uint32_t>(admitted.owners.size()), "r");
  if (!required.ok()) return required.status();
  admitted.required = *required;
  const bool ignores = PlantedBugs::Has(PlantedBug::kAtLeastIgnored);
  absl::StatusOr<VersionVector> at_least =
      node.tokens.OpenContext(request.item, ignores ? Bytes() : request.at_least);
  if (!at_least.ok()) return at_least.status();
  admitted.at_least = *std::move(at_least);
  return admitted;
}

// Nullopt where what was read turned out to be stale, and is to be read again.
Task<absl::StatusOr<std::optional<GetAnswer>>> RunOnce(NodeContext* node, const GetRequest& request,
                                                       const Admitted& admitted, Instant deadline,
                                                       Trace* trace) {
  const Instant begun = node->Now();
  std::shared_ptr<const Layout> layout = node->layout;

  // 2. Ask; 3. listen, and ask others where some fail or are silent.
  const bool asks_everybody = !admitted.at_least.empty();
  const bool asks_fallbacks =
      request.sloppy || PlantedBugs::Has(PlantedBug::kStrictReadCountsFallbacks);
  ReadQuorum quorum(
      request.item, admitted.required,
      {.owners = node->peers->InAskingOrder(admitted.owners),
       .fallbacks = asks_fallbacks ? node->FallbacksOf(admitted.partition) : std::vector<NodeId>(),
       .others = asks_everybody ? layout->Fallbacks(admitted.partition) : std::vector<NodeId>()},
      admitted.at_least);
  Mailbox<Answered> answers(node->env.loop);
  TaskGroup local;
  Asker asker(node, request.item, deadline, answers.sender(), &local, trace);
  absl::Status last;
  asker.Ask(quorum.Start([node](NodeId peer) {
    return peer != node->id && node->peers->StateOf(peer) != Liveness::State::kUp;
  }));
  const Instant silence_from = begun + node->options.silence_max;
  Instant patience_ends = begun + node->hedges.Delay();
  bool hedged = false;
  while (true) {
    if (quorum.verdict() == Verdict::kWon) break;
    if (quorum.verdict() == Verdict::kLost && node->Now() - begun > node->options.unreachable_max) {
      break;
    }
    std::optional<Answered> answered = co_await answers.Next(std::min(deadline, patience_ends));
    if (answered.has_value()) {
      if (answered->answer.ok()) {
        quorum.Answer(answered->replica, *std::move(answered->answer));
      } else {
        last = answered->answer.status();
        if (PlantedBugs::Has(PlantedBug::kFailedReadIsEmpty)) quorum.Answer(answered->replica, {});
        quorum.Fail(answered->replica);
      }
      asker.Ask(quorum.NextAsks());
      continue;
    }
    if (node->Now() >= deadline) break;
    ReadQuorum::Asks hedges;
    if (node->Now() >= silence_from) {
      patience_ends = node->Now() + node->options.silence_max;
      // A slow one that serves others has much to do already.
      if (node->peers->MayAskAnother(quorum.Awaited(), PeerProgress::Kind::kRead,
                                     node->Now() - begun)) {
        hedges = quorum.Hedge();
      }
    } else {
      patience_ends = silence_from;
      if (node->hedges.Take()) hedges = quorum.HedgeEarly();
    }
    hedged |= !hedges.empty();
    node->counters.hedges += hedges.size();
    asker.Ask(hedges);
  }
  if (!hedged) node->hedges.Ended(node->Now() - begun);
  if (quorum.verdict() != Verdict::kWon) {
    co_return Unreached(*node, quorum, admitted.required, deadline, last);
  }

  // 4. Repair.
  RepairVerdict repaired = RepairVerdict::kDone;
  if (!IsLevel(quorum, admitted.required)) {
    repaired = co_await Repair(node, quorum, request, admitted.owners, admitted.required, deadline,
                               trace, &local);
  }
  if (repaired == RepairVerdict::kStale) co_return std::nullopt;
  if (repaired == RepairVerdict::kNotReached) {
    co_return WithDetails(
        absl::DeadlineExceededError(absl::StrCat("the deadline passed before what was read could "
                                                 "be made durable at ",
                                                 admitted.required,
                                                 " owners; ask for sloppy reads, or "
                                                 "try again when more of them answer")),
        {.reason = "REPAIR_NOT_REACHED"});
  }

  // 5. Answer.
  GetAnswer answer = AnswerOf(*node, request.item, quorum.TakeMerged(), /*values=*/true);
  answer.answers = quorum.settled();
  co_return std::optional<GetAnswer>(std::move(answer));
}

}  // namespace

Task<absl::StatusOr<GetAnswer>> RunGet(NodeContext* node, const GetRequest& request,
                                       Instant deadline) {
  // 1. Admit.
  Trace trace(request.explain, node->Now());
  absl::StatusOr<Admitted> admitted = Admit(*node, request);
  if (!admitted.ok()) co_return admitted.status();
  while (true) {
    absl::StatusOr<std::optional<GetAnswer>> answer =
        co_await RunOnce(node, request, *admitted, deadline, &trace);
    if (!answer.ok()) co_return answer.status();
    if (!answer->has_value()) continue;
    if (request.explain) {
      (*answer)->explanation = trace.Explain(*node, admitted->partition, {});
    }
    co_return **std::move(answer);
  }
}

}  // namespace annulus
