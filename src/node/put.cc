#include "node/put.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/planted.h"
#include "core/quorum/ack_quorum.h"
#include "core/ring/ring.h"
#include "node/trace.h"
#include "task/mailbox.h"

namespace annulus {
namespace {

absl::Status Failed(absl::Status status, std::string reason, Outcome outcome, Acks acks = {}) {
  return WithDetails(std::move(status),
                     {.reason = std::move(reason), .outcome = outcome, .acks = acks});
}

// What the peers, or the own disk, said to a write that this node minted.
struct Ack {
  NodeId node;
  absl::Status status;
  bool durable = true;
};

// --- Phases of a write at an owner
// -----------------------------------------------------------------

// The other owners that have not made the record durable yet, and when each is told again. Telling
// twice is harmless: a merge is idempotent, and a node counts once.
class Replication {
 public:
  Replication(NodeContext* node, const ForwardRequest& request, std::vector<NodeId> owners,
              Bytes record, Epoch epoch, Instant deadline, Mailbox<Ack>::Sender acks, Trace* trace)
      : node_(node),
        item_(request.item),
        record_(std::move(record)),
        epoch_(epoch),
        deadline_(deadline),
        acks_(std::move(acks)),
        trace_(trace) {
    for (NodeId owner : owners) {
      if (owner != node->id) targets_.push_back({.node = owner});
    }
  }

  void SendAll() {
    for (Target& target : targets_) Send(&target);
  }

  void SendDue() {
    for (Target& target : targets_) {
      if (!target.settled && target.again_at <= node_->Now()) Send(&target);
    }
  }

  Instant NextDue() const {
    Instant next = deadline_;
    for (const Target& target : targets_) {
      if (!target.settled) next = std::min(next, target.again_at);
    }
    return next;
  }

  void Settle(NodeId peer) {
    for (Target& target : targets_) {
      if (target.node == peer) target.settled = true;
    }
  }

 private:
  struct Target {
    NodeId node;
    int sends = 0;
    Instant again_at;
    bool settled = false;
  };

  void Send(Target* target) {
    // Slower and slower, so that a node that is down costs little.
    const Duration patience = node_->options.silence_max * (1 << std::min(target->sends, 4));
    ++target->sends;
    target->again_at = node_->Now() + patience;
    const size_t hop = trace_->Asked(target->node, Hop::Kind::kReplicate, node_->Now());
    node_->peers->Call(target->node, ReplicateRequest{item_, record_, epoch_}, deadline_,
                       [acks = acks_, peer = target->node, hop, trace = trace_->weak(),
                        loop = node_->env.loop](PeerResult result) {
                         Trace::Answered(trace, hop, result.status(), loop->Now());
                         const bool durable =
                             result.ok() && std::get<ReplicateReply>(*result).durable;
                         acks.Deliver({peer, result.status(), durable});
                       });
  }

  NodeContext* node_;
  Item item_;
  Bytes record_;
  Epoch epoch_;
  Instant deadline_;
  Mailbox<Ack>::Sender acks_;
  Trace* trace_;
  std::vector<Target> targets_;
};

// What the record or the request itself forbids: the next owner forbids it too.
bool IsVerdict(const absl::Status& status) {
  const std::string reason = DetailsOf(status).reason;
  return absl::IsInvalidArgument(status) || reason == "RECORD_TOO_LARGE" ||
         reason == "TOO_MANY_SIBLINGS";
}

// A no that asking again will not turn into a yes.
bool IsFinal(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsDataLoss(status);
}

Mint MintOf(NodeContext* node, const ForwardRequest& request) {
  return {.context = request.context,
          .blind_delete = request.blind_delete,
          .tombstone = request.tombstone,
          .value = request.value,
          .write_time = node->env.clock->Wall(),
          .expires = request.expires,
          .request_id = request.request_id};
}

}  // namespace

Task<absl::StatusOr<ForwardReply>> RunAsOwner(NodeContext* node, const ForwardRequest& request,
                                              Instant deadline) {
  const Instant arrived = node->Now();
  std::shared_ptr<const Layout> layout = node->layout;
  const PartitionId partition =
      PartitionOf(RingHash(request.item.bucket, request.item.key), layout->partitions());
  if (node->replica == nullptr || !layout->Owns(node->id, partition)) {
    co_return Failed(absl::FailedPreconditionError(absl::StrCat(
                         node->options.name, " does not own partition ", partition.value(),
                         " under layout ", layout->version().value())),
                     "NOT_OWNER", Outcome::kNotApplied);
  }
  const std::vector<NodeId>& owners = layout->Owners(partition);
  Trace trace(request.explain, arrived);
  Mailbox<Ack> acks(node->env.loop);

  // 1. Mint: the record is made here, and on its way to this disk.
  const size_t own_hop = trace.Asked(node->id, Hop::Kind::kMint, node->Now());
  Replica::DurableDone durable_here =
      [to = acks.sender(), self = node->id, syncs = node->replica->Syncs(), own_hop,
       trace = trace.weak(), loop = node->env.loop](absl::Status status) {
        Trace::Answered(trace, own_hop, status, loop->Now());
        to.Deliver({self, std::move(status), syncs});
      };
  Mint mint = MintOf(node, request);
  absl::StatusOr<Replica::Minted> minted = co_await node->replica->ApplyMint(
      request.item, std::move(mint), std::min(deadline, arrived + node->options.mint_wait_max),
      std::move(durable_here));
  if (!minted.ok()) co_return minted.status();
  if (minted->siblings == node->options.limits.siblings_warn) {
    node->events("many_siblings",
                 absl::StrCat("an item of partition ", partition.value(), " has ", minted->siblings,
                              " siblings; its writers should read "
                              "it and write with the context"));
  }

  // 2. Replicate: the whole record, while this node's own sync runs.
  Replication replication(node, request, owners, std::move(minted->record), minted->epoch, deadline,
                          acks.sender(), &trace);
  replication.SendAll();

  // 3. Count distinct nodes that hold it durably.
  AckQuorum quorum(request.acks_required, owners);
  bool durable = true;
  while (quorum.verdict() == Verdict::kPending) {
    std::optional<Ack> ack = co_await acks.Next(replication.NextDue());
    if (!ack.has_value()) {
      if (node->Now() >= deadline) break;
      replication.SendDue();
    } else if (ack->status.ok()) {
      durable &= ack->durable;
      quorum.Ack(ack->node);
      replication.Settle(ack->node);
    } else if (ack->node == node->id || IsFinal(ack->status)) {
      quorum.Refuse(ack->node);
      replication.Settle(ack->node);
    } else if (node->IsUnreachable(ack->node, arrived)) {
      quorum.Refuse(
          ack->node);  // It is told again all the same, and counts if it says yes in time.
    }
  }

  // 4. Answer.
  const Acks counted{.primaries = quorum.acks(), .required = request.acks_required};
  if (quorum.verdict() != Verdict::kWon && !PlantedBugs::Has(PlantedBug::kFailedMintIsApplied)) {
    absl::Status status =
        node->Now() >= deadline
            ? absl::DeadlineExceededError(absl::StrCat("the deadline passed with ",
                                                       counted.primaries, " of ", counted.required,
                                                       " owners durable"))
            : absl::UnavailableError(absl::StrCat("only ", counted.primaries, " of ",
                                                  counted.required, " owners can make it durable"));
    co_return Failed(std::move(status), "QUORUM_NOT_REACHED", Outcome::kUnknown, counted);
  }
  co_return ForwardReply{.dot = minted->result.dot,
                         .context = std::move(minted->result.context),
                         .acks = counted,
                         .durable = durable,
                         .siblings = minted->siblings,
                         .hops = trace.Export()};
}

namespace {

// --- Phases of a write at the door
// -----------------------------------------------------------------

struct Admitted {
  ForwardRequest forward;
  std::shared_ptr<const Layout> layout;
  PartitionId partition;
};

absl::StatusOr<RequestId> RequestIdOf(BytesView given, Random* random) {
  RequestId id;
  if (given.empty()) {
    for (size_t i = 0; i < id.size(); i += 8) {
      const uint64_t bits = random->Next();
      std::copy_n(reinterpret_cast<const char*>(&bits), 8, id.begin() + i);
    }
    return id;
  }
  if (given.size() != id.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("request_id has ", given.size(), " bytes; it must have 16, or none"));
  }
  std::copy(given.begin(), given.end(), id.begin());
  if (id == RequestId{}) {
    return absl::InvalidArgumentError(
        "request_id is all zeros, which names nothing; use random bytes");
  }
  return id;
}

// Refuses bad input before anything is written; everything it returns is NOT_APPLIED.
absl::StatusOr<Admitted> Admit(NodeContext* node, WriteRequest request) {
  if (node->layout == nullptr) {
    return WithDetails(absl::UnavailableError(node->not_ready_reason), {.reason = "NOT_READY"});
  }
  const Limits& limits = node->options.limits;
  if (absl::Status valid = ValidateItem(request.item, limits); !valid.ok()) return valid;
  if (request.value.size() > limits.value_bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the value has ", request.value.size(), " bytes; the limit is ", limits.value_bytes_max));
  }
  if (request.is_delete && request.context.empty() && !request.blind_delete) {
    return absl::InvalidArgumentError(
        "a delete needs the context of a read of this item; set blind to delete whatever is there");
  }
  if (request.blind_delete && !request.context.empty()) {
    return absl::InvalidArgumentError("give a context or blind, not both");
  }
  Admitted admitted{.layout = node->layout};
  admitted.partition =
      PartitionOf(RingHash(request.item.bucket, request.item.key), admitted.layout->partitions());
  const auto owners = static_cast<uint32_t>(admitted.layout->Owners(admitted.partition).size());
  absl::StatusOr<uint32_t> required = Resolve(request.w, owners, "w");
  if (!required.ok()) return required.status();
  absl::StatusOr<VersionVector> context = node->tokens.OpenContext(request.item, request.context);
  if (!context.ok()) return context.status();
  absl::StatusOr<RequestId> request_id = RequestIdOf(request.request_id, node->env.random);
  if (!request_id.ok()) return request_id.status();

  WallTime expires;
  if (request.ttl_ms != 0 && !request.is_delete) {
    constexpr uint64_t kTtlMsMax = uint64_t{100} * 365 * 24 * 3600 * 1000;
    if (request.ttl_ms > kTtlMsMax) {
      return absl::InvalidArgumentError("ttl_ms is over 100 years");
    }
    expires.micros = node->env.clock->Wall().micros + static_cast<int64_t>(request.ttl_ms) * 1000;
  }
  admitted.forward = {.item = std::move(request.item),
                      .value = std::move(request.value),
                      .tombstone = request.is_delete,
                      .blind_delete = request.blind_delete,
                      .context = *std::move(context),
                      .request_id = *request_id,
                      .acks_required = *required,
                      .expires = expires,
                      .explain = request.explain};
  return admitted;
}

// What one owner said to a forwarded write.
struct Forwarded {
  NodeId owner;
  PeerResult result;
};

// Hands the write to one owner after the other, the next one when the last is silent, all under one
// request id: an owner that already holds it mints nothing.
Task<absl::StatusOr<ForwardReply>> Forward(NodeContext* node, const Admitted& admitted,
                                           Instant deadline, Trace* trace) {
  std::vector<NodeId> owners =
      node->peers->InAskingOrder(admitted.layout->Owners(admitted.partition));
  std::erase(owners, node->id);
  Mailbox<Forwarded> replies(node->env.loop);
  absl::Status last = absl::UnavailableError("no owner of the key could be reached");
  // True from the first send that is not known to have failed: from then on it may be applied.
  bool may_be_applied = false;
  int under_way = 0;
  size_t next = 0;
  const Instant started = node->Now();
  Instant patience_ends = started;

  while (node->Now() < deadline) {
    if (next < owners.size() && (under_way == 0 || node->Now() >= patience_ends)) {
      const NodeId owner = owners[next++];
      ++under_way;
      patience_ends = node->Now() + node->options.silence_max;
      const size_t hop = trace->Asked(owner, Hop::Kind::kForward, node->Now());
      node->peers->Call(owner, admitted.forward, deadline,
                        [to = replies.sender(), owner, hop, trace = trace->weak(),
                         loop = node->env.loop](PeerResult result) {
                          Trace::Answered(trace, hop, result.status(), loop->Now());
                          to.Deliver({owner, std::move(result)});
                        });
    }
    const bool round_over = next == owners.size() && under_way == 0;
    if (round_over && node->Now() - started > node->options.unreachable_max) break;
    const Instant wait_until =
        round_over ? std::min(deadline, node->Now() + node->options.silence_max)
                   : (next < owners.size() ? std::min(deadline, patience_ends) : deadline);
    std::optional<Forwarded> reply = co_await replies.Next(wait_until);
    if (!reply.has_value()) {
      // All failed. They may be on their way back, so the round starts again.
      if (round_over) {
        owners = node->peers->InAskingOrder(owners);
        next = 0;
      }
      continue;
    }
    --under_way;
    if (reply->result.ok()) co_return std::get<ForwardReply>(*std::move(reply->result));
    last = reply->result.status();
    const ErrorDetails details = DetailsOf(last);
    if (details.reason == kReasonNotSent || details.outcome == Outcome::kNotApplied) {
      if (IsVerdict(last) && under_way == 0 && !may_be_applied) co_return last;
    } else {
      may_be_applied = true;
    }
  }

  const ErrorDetails details = DetailsOf(last);
  const Outcome outcome =
      may_be_applied || under_way > 0 ? Outcome::kUnknown : Outcome::kNotApplied;
  if (node->Now() >= deadline) {
    last = absl::DeadlineExceededError(
        under_way > 0 ? "the deadline passed before an owner of the key answered"
                      : absl::StrCat("the deadline passed; last error: ", last.message()));
  }
  Acks acks = details.acks;
  acks.required = admitted.forward.acks_required;
  co_return Failed(last, details.reason.empty() ? "QUORUM_NOT_REACHED" : details.reason, outcome,
                   acks);
}

}  // namespace

Task<absl::StatusOr<WriteAnswer>> RunWrite(NodeContext* node, WriteRequest request,
                                           Instant deadline) {
  // 1. Admit.
  const Instant arrived = node->Now();
  absl::StatusOr<Admitted> admitted = Admit(node, std::move(request));
  if (!admitted.ok()) {
    ErrorDetails details = DetailsOf(admitted.status());
    details.outcome = Outcome::kNotApplied;
    co_return WithDetails(admitted.status(), details);
  }
  Trace trace(admitted->forward.explain, arrived);

  // 2. Run it here where this node is an owner; 3. else, or where this node cannot take it, at
  // another.
  absl::StatusOr<ForwardReply> reply = absl::UnavailableError("");
  bool here = node->Owns(admitted->partition);
  if (here) {
    reply = co_await RunAsOwner(node, admitted->forward, deadline);
    here = reply.ok() || IsVerdict(reply.status()) ||
           DetailsOf(reply.status()).outcome != Outcome::kNotApplied;
  }
  if (!here) reply = co_await Forward(node, *admitted, deadline, &trace);
  if (!reply.ok()) co_return reply.status();

  // 4. Answer.
  WriteAnswer answer{.context = node->tokens.SealContext(admitted->forward.item, reply->context),
                     .acks = reply->acks,
                     .request_id = admitted->forward.request_id,
                     .durable = reply->durable,
                     .siblings = reply->siblings};
  if (admitted->forward.explain) {
    answer.explanation = trace.Explain(*node, admitted->partition, reply->hops);
  }
  co_return answer;
}

}  // namespace annulus
