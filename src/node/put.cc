#include "node/put.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/planted.h"
#include "core/quorum/write_quorum.h"
#include "core/ring/ring.h"
#include "node/get.h"
#include "node/trace.h"
#include "task/mailbox.h"
#include "task/sleep.h"

namespace annulus {
namespace {

absl::Status Failed(absl::Status status, std::string reason, Outcome outcome, Acks acks = {}) {
  return WithDetails(std::move(status),
                     {.reason = std::move(reason), .outcome = outcome, .acks = acks});
}

// How long to wait for one's own sync before another look at what it has written.
constexpr Duration kOwnSyncWait = 5ms;

// What the peers, or the own disk, said to a write that this node minted.
struct Ack {
  NodeId node;
  absl::Status status;
  bool durable = true;
};

// --- Phases of a write at its minter
// -----------------------------------------------------------------

std::vector<NodeId> Without(NodeId node, std::vector<NodeId> nodes) {
  std::erase(nodes, node);
  return nodes;
}

// Notes that the target lacks the record: an owner points at its own copy, a fallback keeps it. At
// the hints' limit nothing is kept, and anti-entropy has to find it.
Task<void> KeepHint(NodeContext* node, Place place, Bytes record, Epoch stamp) {
  const PartitionId partition = node->PartitionOf(place.item);
  absl::Status kept;
  if (node->Owns(partition)) {
    kept = co_await node->replica->Point(std::move(place));
  } else {
    Replica::Merging merging{std::move(record), stamp};
    kept = co_await node->replica->ApplyMerge(std::move(place), std::move(merging));
  }
  ++(kept.ok() ? node->counters.hints_stored : node->counters.hints_refused);
}

// Sends the minted record to the other owners, again and again while they say nothing, and to
// fallbacks where it is told to. Telling twice is harmless: a merge is idempotent, and a node
// counts once. What an owner has not confirmed when the write is over becomes a hint at the minter,
// as soon as its last message is known to have failed. Whoever refuses the stamp, since a round of
// reaping has closed it meanwhile, is sent what is read here again (DESIGN section 6, step 4).
class Replication : public std::enable_shared_from_this<Replication> {
 public:
  Replication(NodeContext* node, const ForwardRequest& request, const std::vector<NodeId>& owners,
              Replica::Minted minted, Instant deadline, Mailbox<Ack>::Sender acks, Trace* trace)
      : node_(node),
        item_(request.item),
        dot_(minted.result.dot),
        record_(std::move(minted.record)),
        stamp_(minted.stamp),
        deadline_(deadline),
        acks_(std::move(acks)),
        trace_(trace->weak()) {
    for (NodeId owner : owners) {
      if (owner != node->id) targets_.push_back({.owner = owner});
    }
  }

  void Send(const WriteQuorum::Sends& sends) {
    for (const WriteQuorum::Send& send : sends) {
      if (send.hint_for != NodeId()) {
        SendToFallback(send);
      } else if (Target* target = Find(send.node); target != nullptr) {
        SendToOwner(target);
      }
    }
  }

  void SendDue() {
    for (Target& target : targets_) {
      if (target.settled || target.again_at > node_->Now()) continue;
      if (node_->peers->MayRepeat()) {
        SendToOwner(&target);
      } else {
        target.again_at = node_->Now() + node_->options.silence_max;
      }
    }
  }

  Instant NextDue() const {
    Instant next = deadline_;
    for (const Target& target : targets_) {
      if (!target.settled) next = std::min(next, target.again_at);
    }
    return next;
  }

  // The owner confirmed, or never will.
  void Settle(NodeId owner) {
    if (Target* target = Find(owner); target != nullptr) target->settled = true;
  }

  // The write is over: from here on only hints are left to do.
  void End(const WriteQuorum& quorum) {
    over_ = true;
    for (Target& target : targets_) {
      if (quorum.IsCovered(target.owner)) target.settled = true;
      KeepHintIfMissed(&target);
    }
  }

 private:
  struct Target {
    NodeId owner;
    int sends = 0;
    int under_way = 0;
    Instant again_at;
    bool settled = false;
  };

  Target* Find(NodeId owner) {
    for (Target& target : targets_) {
      if (target.owner == owner) return &target;
    }
    return nullptr;
  }

  void SendToOwner(Target* target) {
    // Slower and slower, so that a node that is down costs little.
    const Duration patience =
        node_->peers->PatienceWith(target->owner, PeerProgress::Kind::kWrite) *
        (1 << std::min(target->sends, 4));
    ++target->sends;
    ++target->under_way;
    target->again_at = node_->Now() + patience;
    const size_t hop = Trace::Asked(trace_, target->owner, Hop::Kind::kReplicate, node_->Now());
    node_->peers->Call(target->owner, ReplicateRequest{item_, record_, stamp_}, deadline_,
                       [self = shared_from_this(), owner = target->owner, hop](PeerResult result) {
                         self->OwnerAnswered(owner, hop, result);
                       });
  }

  void OwnerAnswered(NodeId owner, size_t hop, const PeerResult& result) {
    Trace::Answered(trace_, hop, result.status(), node_->Now());
    Target* target = Find(owner);
    --target->under_way;
    if (!over_ && IsStale(result)) {
      ++target->under_way;
      target->again_at = deadline_;  // Until it is sent what is read.
      node_->background->Spawn(ReadAgain(shared_from_this(), [this, target] {
        --target->under_way;
        if (!over_) SendToOwner(target);
        if (over_) KeepHintIfMissed(target);
      }));
      return;
    }
    if (!over_) {
      const bool durable = result.ok() && std::get<ReplicateReply>(*result).durable;
      acks_.Deliver({owner, result.status(), durable});
      return;
    }
    if (result.ok()) target->settled = true;
    KeepHintIfMissed(target);
  }

  void SendToFallback(const WriteQuorum::Send& send) {
    const size_t hop = Trace::Asked(trace_, send.node, Hop::Kind::kHint, node_->Now());
    node_->peers->Call(send.node, ReplicateRequest{item_, record_, stamp_, send.hint_for},
                       deadline_, [self = shared_from_this(), send, hop](PeerResult result) {
                         self->FallbackAnswered(send, hop, result);
                       });
  }

  void FallbackAnswered(const WriteQuorum::Send& send, size_t hop, const PeerResult& result) {
    Trace::Answered(trace_, hop, result.status(), node_->Now());
    if (!over_ && IsStale(result)) {
      node_->background->Spawn(ReadAgain(shared_from_this(), [this, send] {
        if (!over_) SendToFallback(send);
      }));
      return;
    }
    const bool durable = result.ok() && std::get<ReplicateReply>(*result).durable;
    acks_.Deliver({send.node, result.status(), durable});
  }

  static bool IsStale(const PeerResult& result) {
    return !result.ok() && DetailsOf(result.status()).reason == kReasonStaleStamp;
  }

  // Reads what this node holds of the item now, with its stamp, before `then` runs. Rule
  // READ_AGAIN: to send the old record under a new stamp would defeat the stamps. What is read need
  // not have the write yet, while this node's own sync runs; sent like that, a yes to it would
  // count for a write that its sender does not have.
  static Task<void> ReadAgain(std::shared_ptr<Replication> self, absl::AnyInvocable<void()> then) {
    while (!self->over_) {
      absl::StatusOr<Replica::Copy> copy = co_await ReadOwn(self->node_, self->item_);
      if (copy.ok() && copy->record.has_value() && copy->record->vector.Covers(self->dot_)) {
        self->record_ = Encode(*copy->record);
        self->stamp_ = copy->stamp;
        break;
      }
      co_await Sleep(self->node_->env.loop, kOwnSyncWait);
    }
    then();
  }

  void KeepHintIfMissed(Target* target) {
    if (target->settled || target->under_way > 0) return;
    target->settled = true;
    node_->background->Spawn(KeepHint(node_, {item_, target->owner}, record_, stamp_));
  }

  NodeContext* node_;
  Item item_;
  Dot dot_;
  Bytes record_;
  Epoch stamp_;
  Instant deadline_;
  Mailbox<Ack>::Sender acks_;
  std::weak_ptr<Trace::Log> trace_;
  bool over_ = false;
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

Task<absl::StatusOr<ForwardReply>> RunAsMinter(NodeContext* node, const ForwardRequest& request,
                                               Instant deadline) {
  const Instant arrived = node->Now();
  std::shared_ptr<const Layout> layout = node->layout;
  const PartitionId partition =
      PartitionOf(RingHash(request.item.bucket, request.item.key), layout->partitions());
  const bool owner = layout->Owns(node->id, partition);
  const bool fallback = !owner && request.sloppy && layout->Owns(request.fallback_for, partition);
  if (node->replica == nullptr || (!owner && !fallback)) {
    co_return node->NotOwner(partition);
  }
  const NodeId minter_for = owner ? NodeId() : request.fallback_for;
  const std::vector<NodeId>& owners = layout->Owners(partition);
  Trace trace(request.explain, arrived);
  Mailbox<Ack> acks(node->env.loop);

  // 1. Mint: the record is made here, and on its way to this disk.
  const size_t own_hop = Trace::Asked(trace.weak(), node->id, Hop::Kind::kMint, node->Now());
  Replica::DurableDone durable_here =
      [to = acks.sender(), self = node->id, syncs = node->replica->Syncs(), own_hop,
       trace = trace.weak(), loop = node->env.loop](absl::Status status) {
        Trace::Answered(trace, own_hop, status, loop->Now());
        to.Deliver({self, std::move(status), syncs});
      };
  Mint mint = MintOf(node, request);
  Place place{request.item, minter_for};
  absl::StatusOr<Replica::Minted> minted = co_await node->replica->ApplyMint(
      std::move(place), std::move(mint), std::min(deadline, arrived + node->options.mint_wait_max),
      std::move(durable_here));
  if (!minted.ok()) co_return minted.status();
  node->counters.hints_stored += !owner;
  if (minted->siblings == node->options.limits.siblings_warn) {
    node->events("many_siblings",
                 absl::StrCat("an item of partition ", partition.value(), " has ", minted->siblings,
                              " siblings; its writers should read "
                              "it and write with the context"));
  }
  ForwardReply reply{.dot = minted->result.dot,
                     .context = std::move(minted->result.context),
                     .siblings = minted->siblings};

  // 2. Replicate: the whole record, while this node's own sync runs.
  WriteQuorum quorum(
      request.acks_required, owners,
      request.sloppy ? Without(node->id, node->FallbacksOf(partition)) : std::vector<NodeId>(),
      node->id, minter_for);
  auto replication = std::make_shared<Replication>(node, request, owners, *std::move(minted),
                                                   deadline, acks.sender(), &trace);
  replication->Send(quorum.Start(
      [node](NodeId peer) { return node->peers->StateOf(peer) != Liveness::State::kUp; }));

  // 3. Count distinct nodes that hold it durably.
  Instant patience_ends = arrived + node->options.silence_max;
  while (quorum.verdict() == Verdict::kPending) {
    std::optional<Ack> ack = co_await acks.Next(std::min(replication->NextDue(), patience_ends));
    if (!ack.has_value()) {
      if (node->Now() >= deadline) break;
      replication->SendDue();
      if (node->Now() >= patience_ends) {
        replication->Send(quorum.Silence([node, arrived](NodeId silent) {
          return node->peers->MayAskAnother({silent}, PeerProgress::Kind::kWrite,
                                            node->Now() - arrived);
        }));
        patience_ends = node->Now() + node->options.silence_max;
      }
    } else if (ack->status.ok() || PlantedBugs::Has(PlantedBug::kRefusalCounts)) {
      reply.durable &= ack->durable;
      quorum.Ack(ack->node);
      replication->Settle(ack->node);
    } else if (ack->node == node->id || IsFinal(ack->status)) {
      replication->Send(quorum.Refuse(ack->node));
      replication->Settle(ack->node);
    } else if (!layout->Owns(ack->node, partition) || node->IsUnreachable(ack->node, arrived)) {
      // An owner is told again all the same, and counts if it says yes in time.
      replication->Send(quorum.Refuse(ack->node));
    }
  }
  replication->End(quorum);

  // 4. Answer.
  reply.acks = quorum.acks();
  reply.hops = trace.Export();
  if (quorum.verdict() != Verdict::kWon && !PlantedBugs::Has(PlantedBug::kFailedMintIsApplied)) {
    const std::string held =
        absl::StrCat(reply.acks.primaries, " owners and ", reply.acks.fallbacks, " fallbacks of ",
                     reply.acks.required);
    absl::Status status =
        node->Now() >= deadline
            ? absl::DeadlineExceededError(
                  absl::StrCat("the deadline passed when it was durable at ", held))
            : absl::UnavailableError(absl::StrCat("it can be made durable only at ", held));
    co_return Failed(std::move(status), "QUORUM_NOT_REACHED", Outcome::kUnknown, reply.acks);
  }
  co_return reply;
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
absl::StatusOr<Admitted> Admit(NodeContext* node, WriteRequest&& request) {
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
  admitted.partition = node->PartitionOf(request.item);
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
                      .explain = request.explain,
                      .sloppy = request.sloppy};
  return admitted;
}

// What one minter said to a forwarded write.
struct Forwarded {
  NodeId minter;
  PeerResult result;
};

// Whom a write is handed to: the owners first, then fallbacks in the place of the first owner.
std::vector<NodeId> MintersOf(const NodeContext& node, const Admitted& admitted) {
  std::vector<NodeId> minters =
      node.peers->InAskingOrder(admitted.layout->Owners(admitted.partition));
  if (admitted.forward.sloppy) {
    for (NodeId fallback : node.FallbacksOf(admitted.partition)) minters.push_back(fallback);
  }
  return Without(node.id, std::move(minters));
}

// Whether this node mints the write itself: as an owner, or as a fallback where no owner answers
// these days.
bool MintsHere(const NodeContext& node, Admitted* admitted) {
  if (node.Owns(admitted->partition)) return true;
  if (node.replica == nullptr || !admitted->forward.sloppy) return false;
  const std::vector<NodeId>& owners = admitted->layout->Owners(admitted->partition);
  for (NodeId owner : owners) {
    if (node.peers->StateOf(owner) == Liveness::State::kUp) return false;
  }
  admitted->forward.fallback_for = owners.front();
  return true;
}

// A write that so many minters have too much to do for is refused: one of them may stand alone with
// that, but where two do, asking the others would only keep them from what they have begun.
constexpr int kOverloadedMax = 2;

// Hands the write to one minter after the other, the next one when the last is silent, all under
// one request id: a minter that already holds it mints nothing.
Task<absl::StatusOr<ForwardReply>> Forward(NodeContext* node, const Admitted& admitted,
                                           Instant deadline, Trace* trace) {
  std::vector<NodeId> minters = MintersOf(*node, admitted);
  Mailbox<Forwarded> replies(node->env.loop);
  absl::Status last = absl::UnavailableError("no owner of the key could be reached");
  // True from the first send that is not known to have failed: from then on it may be applied.
  bool may_be_applied = false;
  // What one minter forbids, the next one forbids too: nobody else is asked. Those that were asked
  // before get their chance to say that they have applied it.
  std::optional<absl::Status> verdict;
  int under_way = 0;
  int overloaded = 0;
  absl::Status overload;
  size_t next = 0;
  const Instant started = node->Now();
  Instant asked = started;
  Instant patience_ends = started;

  while (node->Now() < deadline) {
    const bool silent = under_way > 0 && node->Now() >= patience_ends;
    if (verdict.has_value() && (under_way == 0 || silent)) break;
    if (silent) patience_ends = node->Now() + node->options.silence_max;
    const bool asks = !verdict.has_value() && next < minters.size();
    if (asks && (under_way == 0 || (silent && node->peers->MayAskAnother({minters[next - 1]},
                                                                         PeerProgress::Kind::kWrite,
                                                                         node->Now() - asked)))) {
      const NodeId minter = minters[next++];
      ++under_way;
      asked = node->Now();
      patience_ends = asked + node->options.silence_max;
      ForwardRequest request = admitted.forward;
      request.fallback_for = admitted.layout->Owns(minter, admitted.partition)
                                 ? NodeId()
                                 : admitted.layout->Owners(admitted.partition).front();
      const size_t hop = Trace::Asked(trace->weak(), minter, Hop::Kind::kForward, node->Now());
      node->peers->Call(minter, std::move(request), deadline,
                        [to = replies.sender(), minter, hop, trace = trace->weak(),
                         loop = node->env.loop](PeerResult result) {
                          Trace::Answered(trace, hop, result.status(), loop->Now());
                          to.Deliver({minter, std::move(result)});
                        });
    }
    const bool round_over = next == minters.size() && under_way == 0;
    if (round_over && overloaded > 0) break;
    if (round_over && node->Now() - started > node->options.unreachable_max) break;
    const Instant wait_until =
        round_over
            ? std::min(deadline, node->Now() + node->options.silence_max)
            : (verdict.has_value() || next < minters.size() ? std::min(deadline, patience_ends)
                                                            : deadline);
    std::optional<Forwarded> reply = co_await replies.Next(wait_until);
    if (!reply.has_value()) {
      // All failed. They may be on their way back, so the round starts again.
      if (round_over && node->peers->MayRepeat()) {
        minters = MintersOf(*node, admitted);
        next = 0;
      }
      continue;
    }
    --under_way;
    if (reply->result.ok()) co_return std::get<ForwardReply>(*std::move(reply->result));
    const ErrorDetails details = DetailsOf(reply->result.status());
    if (details.reason == kReasonOverloaded) {
      overload = reply->result.status();
      if (++overloaded == kOverloadedMax) next = minters.size();
      continue;
    }
    last = reply->result.status();
    if (details.reason == kReasonNotSent || details.outcome == Outcome::kNotApplied) {
      if (IsVerdict(last)) {
        verdict = last;
        patience_ends = node->Now() + node->options.silence_max;
      }
    } else {
      may_be_applied = true;
    }
  }

  const bool unknown =
      (may_be_applied || under_way > 0) && !PlantedBugs::Has(PlantedBug::kUnknownIsNotApplied);
  const Outcome outcome = unknown ? Outcome::kUnknown : Outcome::kNotApplied;
  if (verdict.has_value()) last = *verdict;
  if (!verdict.has_value() && overloaded > 0 && outcome == Outcome::kNotApplied) co_return overload;
  const ErrorDetails details = DetailsOf(last);
  if (!verdict.has_value() && node->Now() >= deadline) {
    last = absl::DeadlineExceededError(
        under_way > 0 ? "the deadline passed before a node that can mint the write answered"
                      : absl::StrCat("the deadline passed; last error: ", last.message()));
  }
  Acks acks = details.acks;
  acks.required = admitted.forward.acks_required;
  co_return Failed(last, details.reason.empty() ? "QUORUM_NOT_REACHED" : details.reason, outcome,
                   acks);
}

}  // namespace

Task<absl::StatusOr<WriteAnswer>> RunWrite(NodeContext* node, WriteRequest* request,
                                           Instant deadline) {
  // 1. Admit.
  const Instant arrived = node->Now();
  absl::StatusOr<Admitted> admitted = Admit(node, std::move(*request));
  if (!admitted.ok()) {
    ErrorDetails details = DetailsOf(admitted.status());
    details.outcome = Outcome::kNotApplied;
    co_return WithDetails(admitted.status(), details);
  }
  Trace trace(admitted->forward.explain, arrived);

  // 2. Run it here where this node is an owner; 3. else, or where this node cannot take it, at
  // another.
  absl::StatusOr<ForwardReply> reply = absl::UnavailableError("");
  bool here = MintsHere(*node, &*admitted);
  if (here) {
    reply = co_await RunAsMinter(node, admitted->forward, deadline);
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
