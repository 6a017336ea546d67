#include "node/get.h"

#include <utility>

#include "absl/strings/str_cat.h"
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
  ReplicaAnswer answer{.found = reply->found, .digest = reply->digest, .epoch = reply->epoch};
  if (reply->record.has_value()) {
    absl::StatusOr<Record> record = DecodeRecord(*reply->record);
    if (!record.ok()) return record.status();
    answer.record = *std::move(record);
  }
  return answer;
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

  void Ask(const std::vector<ReadQuorum::Ask>& asks) {
    for (const ReadQuorum::Ask& ask : asks) {
      ReadRequest request{item_, ask.whole ? UINT64_MAX : node_->options.whole_record_bytes_max};
      const size_t hop =
          trace_->Asked(ask.node, ask.whole ? Hop::Kind::kRead : Hop::Kind::kDigest, node_->Now());
      if (ask.node == node_->id) {
        local_->Spawn(AskHere(std::move(request), hop));
        continue;
      }
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
  Task<void> AskHere(ReadRequest request, size_t hop) {
    absl::StatusOr<ReadReply> reply = co_await ReadHere(node_, std::move(request));
    Trace::Answered(trace_->weak(), hop, reply.status(), node_->Now());
    // Posted: an answer can end the read, and with it this flow, which must not be running then.
    node_->env.loop->Post(
        [answers = answers_, answered = Answered{node_->id, Decoded(std::move(reply))}]() mutable {
          answers.Deliver(std::move(answered));
        });
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

}  // namespace

Task<absl::StatusOr<ReadReply>> ReadHere(NodeContext* node, ReadRequest request) {
  if (node->replica == nullptr) {
    co_return WithDetails(absl::FailedPreconditionError("a coordinator stores nothing"),
                          {.reason = "NOT_OWNER"});
  }
  auto stored = co_await node->replica->Read(request.item);
  if (!stored.ok()) co_return stored.status();
  ReadReply reply{.epoch = kFirstEpoch};
  if (!stored->has_value()) co_return reply;
  reply.found = true;
  const Record& record = (*stored)->record;
  if (SizeOf(record) <= request.whole_up_to_bytes) {
    reply.record = Encode(record);
  } else {
    reply.digest = DigestOf(request.item, record);
  }
  co_return reply;
}

GetAnswer AnswerOf(const NodeContext& node, const Item& item, const Record& record, bool values) {
  const Shown shown = Show(record, node.env.clock->Wall(), kShownBytesMax);
  GetAnswer answer{.more = shown.more, .tombstone = shown.tombstone};
  if (!shown.context.empty()) answer.context = node.tokens.SealContext(item, shown.context);
  answer.siblings.reserve(shown.siblings.size());
  for (const Sibling* sibling : shown.siblings) {
    answer.siblings.push_back({.value = values ? sibling->value : Bytes(),
                               .write_time = sibling->write_time,
                               .expires = sibling->expires,
                               .request_id = sibling->request_id});
  }
  return answer;
}

Task<absl::StatusOr<GetAnswer>> RunGet(NodeContext* node, GetRequest request, Instant deadline) {
  // 1. Admit.
  const Instant arrived = node->Now();
  std::shared_ptr<const Layout> layout = node->layout;
  if (layout == nullptr) {
    co_return WithDetails(absl::UnavailableError(node->not_ready_reason), {.reason = "NOT_READY"});
  }
  if (absl::Status valid = ValidateItem(request.item, node->options.limits); !valid.ok()) {
    co_return valid;
  }
  const PartitionId partition =
      PartitionOf(RingHash(request.item.bucket, request.item.key), layout->partitions());
  const std::vector<NodeId>& owners = layout->Owners(partition);
  absl::StatusOr<uint32_t> required = Resolve(request.r, static_cast<uint32_t>(owners.size()), "r");
  if (!required.ok()) co_return required.status();
  absl::StatusOr<VersionVector> at_least = node->tokens.OpenContext(request.item, request.at_least);
  if (!at_least.ok()) co_return at_least.status();

  // 2. Ask; 3. listen, and ask others where some fail or are silent.
  Trace trace(request.explain, arrived);
  ReadQuorum quorum(request.item, *required, node->peers->InAskingOrder(owners),
                    *std::move(at_least));
  Mailbox<Answered> answers(node->env.loop);
  TaskGroup local;
  Asker asker(node, request.item, deadline, answers.sender(), &local, &trace);
  absl::Status last;
  asker.Ask(quorum.Start());
  Instant patience_ends = arrived + node->options.silence_max;
  while (true) {
    if (quorum.verdict() == Verdict::kWon) break;
    if (quorum.verdict() == Verdict::kLost &&
        node->Now() - arrived > node->options.unreachable_max) {
      break;
    }
    std::optional<Answered> answered = co_await answers.Next(std::min(deadline, patience_ends));
    if (answered.has_value()) {
      if (answered->answer.ok()) {
        quorum.Answer(answered->replica, *std::move(answered->answer));
      } else {
        last = answered->answer.status();
        quorum.Fail(answered->replica);
      }
      asker.Ask(quorum.NextAsks());
      continue;
    }
    if (node->Now() >= deadline) break;
    patience_ends = node->Now() + node->options.silence_max;
    asker.Ask(quorum.Hedge());
  }
  if (quorum.verdict() != Verdict::kWon) {
    co_return Unreached(*node, quorum, *required, deadline, last);
  }

  // 4. Answer.
  GetAnswer answer = AnswerOf(*node, request.item, quorum.merged(), /*values=*/true);
  answer.answers = quorum.settled();
  if (request.explain) answer.explanation = trace.Explain(*node, partition, {});
  co_return answer;
}

}  // namespace annulus
