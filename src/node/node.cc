#include "node/node.h"

#include <set>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/ring/ring.h"
#include "node/anti_entropy.h"
#include "node/context.h"
#include "node/formation.h"
#include "node/get.h"
#include "node/handoff.h"
#include "node/identity.h"
#include "node/lessons.h"
#include "node/locate.h"
#include "node/meta.h"
#include "node/put.h"
#include "node/reaper.h"
#include "node/rebuild.h"
#include "node/record_cache.h"
#include "node/repair.h"
#include "node/scan.h"
#include "node/self_check.h"
#include "task/sleep.h"

namespace annulus {
namespace {

// A page, and what its replicas send for it.
constexpr size_t kScanBytes = 4 << 20;
// Before what could not be written is tried once more.
constexpr Duration kNoteAgain = 500ms;

// Counts a client operation while it runs.
class Busy {
 public:
  explicit Busy(size_t* count) : count_(count) { ++*count_; }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  ~Busy() { --*count_; }

 private:
  size_t* count_;
};

class NodeImpl : public Node {
 public:
  // `record_cache` is the environment's store; null in a coordinator.
  NodeImpl(Env env, std::unique_ptr<RecordCache> record_cache, NodeOptions options,
           TokenKeys tokens, Identity identity, Incarnation incarnation,
           std::unique_ptr<Epochs> epochs, EventSink events)
      : record_cache_(std::move(record_cache)) {
    context_ = {.env = env,
                .options = std::move(options),
                .tokens = std::move(tokens),
                .id = identity.id,
                .incarnation = incarnation,
                .started = env.loop->Now(),
                .started_wall = env.clock->Wall(),
                .epochs = std::move(epochs),
                .not_ready_reason = "starting",
                .events = std::move(events)};
    context_.admission = std::make_unique<Admission>(context_.options.admission);
    context_.hedges = HedgeBudget(context_.options.silence_max);
    if (env.storage != nullptr) {
      context_.replica = std::make_unique<Replica>(
          env, incarnation, context_.epochs.get(),
          Replica::Options{.partitions = context_.options.partitions,
                           .limits = context_.options.limits,
                           .hint_limits = context_.options.hint_limits,
                           .clock_skew_max = context_.options.clock_skew_max});
    }
    context_.notices = context_.options.notices;
    context_.fresh = identity.fresh;
    context_.sequence_base = identity.sequence_base;
    context_.rebuild_all = identity.rebuild_all;
    if (identity.layout.has_value()) {
      context_.joining = std::make_shared<const Layout>(*std::move(identity.layout));
    }
    BecomeMember();
    if (env.storage != nullptr) {
      anti_entropy_ = std::make_unique<AntiEntropy>(&context_);
      context_.anti_entropy = anti_entropy_.get();
      reaper_ = std::make_unique<Reaper>(&context_);
      context_.reaper = reaper_.get();
      rebuilder_ = std::make_unique<Rebuilder>(&context_);
      context_.replica->set_on_damage(
          [this](ColumnFamily family, const Bytes& key) { rebuilder_->NoteDamage(family, key); });
      flows_.Spawn(anti_entropy_->Run());
      flows_.Spawn(anti_entropy_->Scrub());
      flows_.Spawn(rebuilder_->Run());
    }
    env.transport->SetIdentity(context_.id, incarnation);
    env.transport->Serve([this](PeerContext from, PeerRequest request, PeerDone done) {
      if (AnswerNow(from, &request, &done)) return;
      flows_.Spawn(Answer(std::move(from), std::move(request), std::move(done)));
    });
    flows_.Spawn(Join());
  }

  Task<absl::StatusOr<WriteAnswer>> Write(WriteRequest request, Instant deadline) override {
    Busy busy(&busy_);
    if (IsClosed()) co_return Closed(Outcome::kNotApplied);
    AdmissionPlace place = Enter(Admission::Work::kWrite, BytesOf(request.item, request.value));
    if (!place.status().ok()) co_return Refused(place.status());
    absl::StatusOr<WriteAnswer> answer = co_await RunWrite(&context_, &request, Bounded(deadline));
    if (answer.ok()) place.Served(context_.Now());
    co_return answer;
  }

  Task<absl::StatusOr<GetAnswer>> Get(GetRequest request, Instant deadline) override {
    Busy busy(&busy_);
    if (IsClosed()) co_return Closed(Outcome::kNone);
    AdmissionPlace place = Enter(Admission::Work::kRead, context_.admission->ReadBytes());
    if (!place.status().ok()) co_return place.status();
    absl::StatusOr<GetAnswer> answer = co_await RunGet(&context_, request, Bounded(deadline));
    if (answer.ok()) {
      context_.admission->LearnReadBytes(BytesOf(*answer));
      place.Served(context_.Now());
    }
    co_return answer;
  }

  Task<absl::StatusOr<ScanPage>> Scan(ScanRequest request, Instant deadline) override {
    Busy busy(&busy_);
    if (IsClosed()) co_return Closed(Outcome::kNone);
    AdmissionPlace place = Enter(Admission::Work::kScan, kScanBytes);
    if (!place.status().ok()) co_return place.status();
    absl::StatusOr<ScanPage> page =
        co_await RunScan(&context_, std::move(request), Bounded(deadline));
    co_return page;
  }

  Task<absl::StatusOr<LocateAnswer>> Locate(Item item, Instant deadline) override {
    Busy busy(&busy_);
    absl::StatusOr<LocateAnswer> answer =
        co_await RunLocate(&context_, std::move(item), Bounded(deadline));
    co_return answer;
  }

  Task<absl::StatusOr<RepairAnswer>> Repair(std::optional<PartitionId> partition, Duration age,
                                            Instant deadline) override {
    absl::StatusOr<RepairAnswer> answer =
        co_await RunRepair(&context_, partition, age, Bounded(deadline));
    co_return answer;
  }

  StatusView Status() const override {
    StatusView view{.cluster = context_.options.cluster,
                    .name = context_.options.name,
                    .storage = context_.replica != nullptr,
                    .id = context_.id,
                    .incarnation = context_.incarnation,
                    .uptime = context_.Now() - context_.started,
                    .sync = context_.replica == nullptr || context_.replica->Syncs()};
    if (anti_entropy_ != nullptr) view.convergence = anti_entropy_->convergence();
    view.reap = ReapState();
    view.not_ready_reason = WhyNotReady(view.reap);
    view.ready = view.not_ready_reason.empty();
    view.notices = context_.notices;
    view.counters = context_.counters;
    view.counters.overloads = context_.admission->refused();
    if (record_cache_ != nullptr) {
      view.counters.record_cache_hits = record_cache_->hits();
      view.counters.record_cache_misses = record_cache_->misses();
    }
    if (context_.replica != nullptr) view.hints = context_.replica->hints().total();
    if (context_.layout == nullptr) return view;
    const Layout& layout = *context_.layout;
    view.layout_version = layout.version();
    for (const Member& member : layout.members()) {
      MemberView seen{.member = member};
      if (member.id == context_.id) {
        seen.state = "self";
        seen.facts = context_.gossip->own();
      } else if (const GossipUpdate* held = context_.gossip->Find(member.id); held != nullptr) {
        seen.state = std::string(ToString(context_.peers->StateOf(member.id)));
        seen.gossip = held->standing;
        seen.facts = held->facts;
        // Where it says that it is now.
        if (!held->facts.peer_address.empty()) {
          seen.member.peer_address = held->facts.peer_address;
          seen.member.client_address = held->facts.client_address;
        }
        if (context_.replica != nullptr) {
          seen.hints = context_.replica->hints().AccountOf(member.id);
        }
      }
      for (uint32_t p = 0; p < layout.partitions(); ++p) {
        seen.partitions += layout.Owns(member.id, PartitionId(p));
      }
      view.members.push_back(std::move(seen));
    }
    return view;
  }

  const Layout* layout() const override { return context_.layout.get(); }
  void Drain() override { draining_ = true; }
  size_t busy() const override { return busy_; }
  NodeId id() const override { return context_.id; }
  Incarnation incarnation() const override { return context_.incarnation; }
  const NodeOptions& options() const override { return context_.options; }
  void Spawn(Task<void> task) override { flows_.Spawn(std::move(task)); }

 private:
  // Whether nothing new is taken.
  bool IsClosed() const { return draining_ || !context_.refused.empty(); }
  absl::Status Closed(Outcome outcome) const {
    if (!draining_) {
      return WithDetails(absl::UnavailableError(context_.refused),
                         {.reason = "NOT_READY", .outcome = outcome});
    }
    return WithDetails(absl::UnavailableError("the server is shutting down; ask another one"),
                       {.reason = "DRAINING", .outcome = outcome});
  }
  // Empty where it is ready.
  std::string WhyNotReady(const ReapView& reap) const {
    if (draining_) return "draining";
    if (!context_.refused.empty()) return context_.refused;
    if (context_.layout == nullptr) return context_.not_ready_reason;
    if (reap.untold == 0) return "";
    return absl::StrCat("no other owner has told this node yet where ", reap.untold,
                        " of its partitions stand; it serves them once one of each has");
  }

  // Of a write that was not begun.
  static absl::Status Refused(const absl::Status& status) {
    ErrorDetails details = DetailsOf(status);
    details.outcome = Outcome::kNotApplied;
    return WithDetails(status, details);
  }

  AdmissionPlace Enter(Admission::Work work, size_t bytes) {
    return AdmissionPlace(context_.admission.get(), work, bytes, context_.Now());
  }

  static size_t BytesOf(const Item& item, const Bytes& value) {
    return item.key.size() + item.sort_key.size() + value.size();
  }
  static size_t BytesOf(const GetAnswer& answer) {
    size_t bytes = 0;
    for (const ShownSibling& sibling : answer.siblings) bytes += sibling.value.size();
    return bytes;
  }

  Instant Bounded(Instant deadline) const {
    const Instant now = context_.Now();
    if (deadline == kForever) return now + context_.options.deadline_default;
    return std::min(deadline, now + context_.options.deadline_max);
  }

  // Lines and gossip of the node that this is.
  void BecomeMember() {
    const NodeOptions& options = context_.options;
    context_.gossip.reset();
    context_.peers = std::make_unique<Peers>(context_.env, context_.id, options.silence_max);
    MemberFacts own{.incarnation = context_.incarnation,
                    .peer_address = options.peer_address,
                    .client_address = options.client_address,
                    .sequence = context_.Sequence()};
    context_.gossip = std::make_unique<Gossiper>(context_.env, context_.peers.get(), context_.id,
                                                 /*observer=*/context_.env.storage == nullptr,
                                                 std::move(own), options.gossip);
  }

  // Gets a layout, then lines to its members, then makes sure that it may serve.
  Task<void> Join() {
    const NodeId id = context_.id;
    co_await RunFormation(&context_);
    if (context_.id != id) BecomeMember();
    std::map<std::string, std::string> addresses;
    for (const NodeOptions::Seed& seed : context_.options.seeds) {
      addresses[seed.name] = seed.peer_address;
    }
    context_.peers->Adopt(*context_.joining, addresses);
    context_.gossip->Listen(*context_.joining);
    if (context_.replica != nullptr) self_check_ = std::make_unique<SelfCheck>(&context_);
    if (context_.replica != nullptr && !context_.fresh) co_await self_check_->BeforeServing();
    if (context_.rebuild_all) co_await RebuildAll();
    context_.on_rebuild_all = [this] { flows_.Spawn(RebuildAll()); };
    context_.layout = context_.joining;
    context_.gossip->Adopt(*context_.layout);
    if (context_.replica != nullptr) {
      flows_.Spawn(self_check_->Watch());
      flows_.Spawn(RunLessons(&context_));
      flows_.Spawn(RunHandoff(&context_));
      flows_.Spawn(reaper_->Run());
    }
    context_.events("layout_adopted",
                    absl::StrCat("version ", context_.layout->version().value(), ", ",
                                 context_.layout->members().size(), " members"));
  }

  // This disk lacks what the node once had (context_.rebuild_all): notes that of each partition.
  // Before the node serves, or when it is found later.
  Task<void> RebuildAll() {
    while (context_.rebuild_all) {
      absl::Status noted = co_await rebuilder_->RebuildAll();
      if (noted.ok()) {
        StorageBatch taken_up;
        taken_up.push_back(RebuildAllTakenUp());
        noted = co_await CommitMeta(context_.env, std::move(taken_up));
      }
      if (noted.ok()) {
        context_.rebuild_all = false;
        context_.events("rebuild_all", "all partitions of this node are rebuilt from now on");
        co_return;
      }
      context_.not_ready_reason = absl::StrCat(
          "it could not be noted that all partitions must be rebuilt: ", noted.message());
      co_await Sleep(context_.env.loop, kNoteAgain);
    }
  }

  // What there is most of needs no flow: merges, and reads of what memory has.
  bool AnswerNow(const PeerContext& from, PeerRequest* request, PeerDone* done) {
    auto* replicate = std::get_if<ReplicateRequest>(request);
    const auto* read = std::get_if<ReadRequest>(request);
    if (replicate == nullptr && read == nullptr) return false;
    if (absl::Status admitted = AdmitPeer(from, *request); !admitted.ok()) {
      (*done)(std::move(admitted));
      return true;
    }
    if (replicate != nullptr) {
      AnswerReplicate(std::move(*replicate), from.deadline, std::move(*done));
      return true;
    }
    std::optional<absl::StatusOr<ReadReply>> reply = ReadHereNow(&context_, *read);
    if (!reply.has_value()) return false;
    Finish(done, *std::move(reply));
    return true;
  }

  // One request of a peer.
  Task<void> Answer(PeerContext from, PeerRequest request, PeerDone done) {
    if (std::holds_alternative<IntroduceRequest>(request)) {
      done(PeerReply(Introduce(context_)));
      co_return;
    }
    if (const auto* ping = std::get_if<PingRequest>(&request)) {
      Finish(&done, context_.gossip->AnswerPing(from.from, *ping));
      co_return;
    }
    if (auto* ping_for = std::get_if<PingForRequest>(&request)) {
      absl::StatusOr<PingForReply> reply =
          co_await context_.gossip->AnswerPingFor(from.from, std::move(*ping_for), from.deadline);
      Finish(&done, std::move(reply));
      co_return;
    }
    if (const auto* recall = std::get_if<RecallRequest>(&request)) {
      done(PeerReply(Recall(context_, *recall)));
      co_return;
    }
    if (absl::Status admitted = AdmitPeer(from, request); !admitted.ok()) {
      done(admitted);
      co_return;
    }
    if (auto* forward = std::get_if<ForwardRequest>(&request)) {
      Busy busy(&busy_);
      if (IsClosed()) {
        done(Closed(Outcome::kNotApplied));
        co_return;
      }
      AdmissionPlace place =
          Enter(Admission::Work::kForwarded, BytesOf(forward->item, forward->value));
      if (!place.status().ok()) {
        done(Refused(place.status()));
        co_return;
      }
      absl::StatusOr<ForwardReply> reply = co_await RunAsMinter(&context_, *forward, from.deadline);
      if (reply.ok()) place.Served(context_.Now());
      Finish(&done, std::move(reply));
    } else if (auto* read = std::get_if<ReadRequest>(&request)) {
      absl::StatusOr<ReadReply> reply = co_await ReadHere(&context_, std::move(*read));
      Finish(&done, std::move(reply));
    } else if (auto* range = std::get_if<RangeRequest>(&request)) {
      absl::StatusOr<RangeReply> reply = co_await ReadRangeHere(&context_, std::move(*range));
      Finish(&done, std::move(reply));
    } else if (auto* roots = std::get_if<RootsRequest>(&request)) {
      absl::StatusOr<RootsReply> reply = co_await anti_entropy_->Answer(std::move(*roots));
      Finish(&done, std::move(reply));
    } else if (auto* leaves = std::get_if<LeavesRequest>(&request)) {
      absl::StatusOr<LeavesReply> reply = co_await anti_entropy_->Answer(std::move(*leaves));
      Finish(&done, std::move(reply));
    } else if (auto* keys = std::get_if<KeysRequest>(&request)) {
      absl::StatusOr<KeysReply> reply = co_await anti_entropy_->Answer(std::move(*keys));
      Finish(&done, std::move(reply));
    } else if (const auto* epochs = std::get_if<EpochsRequest>(&request)) {
      Finish(&done, AnswerEpochs(*epochs));
    } else if (auto* reap = std::get_if<ReapRequest>(&request)) {
      absl::StatusOr<ReapReply> reply = co_await reaper_->Answer(std::move(*reap));
      Finish(&done, std::move(reply));
    } else if (const auto* hurry = std::get_if<HurryRequest>(&request)) {
      Finish(&done, anti_entropy_->Answer(*hurry));
    }
  }

  template <class Reply>
  static void Finish(PeerDone* done, absl::StatusOr<Reply> reply) {
    if (reply.ok()) {
      (*done)(PeerReply(*std::move(reply)));
    } else {
      (*done)(reply.status());
    }
  }

  // What comes later than its deadline is not worth doing, and what was chosen by another layout
  // may not be ours to do.
  absl::Status AdmitPeer(const PeerContext& from, const PeerRequest& request) const {
    if (context_.layout == nullptr || context_.replica == nullptr) {
      return NotDone(
          absl::UnavailableError(absl::StrCat(context_.options.name,
                                              " does not serve yet: ", context_.not_ready_reason)),
          "NOT_READY");
    }
    if (!context_.refused.empty()) {
      return NotDone(absl::UnavailableError(context_.refused), "NOT_READY");
    }
    if (from.version != context_.layout->version()) {
      return NotDone(absl::FailedPreconditionError(
                         absl::StrCat("the request was sent under layout ", from.version.value(),
                                      ", this node is at ", context_.layout->version().value())),
                     "STALE_LAYOUT");
    }
    const auto* forward = std::get_if<ForwardRequest>(&request);
    if (forward != nullptr &&
        (forward->acks_required < 1 || forward->acks_required > context_.layout->replicas())) {
      return NotDone(absl::InvalidArgumentError("a forwarded write wants acks of 1 to N owners"),
                     "MALFORMED");
    }
    const auto* range = std::get_if<RangeRequest>(&request);
    if (range != nullptr && range->partition.value() >= context_.layout->partitions()) {
      return NotDone(absl::InvalidArgumentError("no such partition"), "MALFORMED");
    }
    if (context_.Now() >= from.deadline) {
      return NotDone(absl::DeadlineExceededError("the deadline passed on the way"),
                     "DEADLINE_EXCEEDED");
    }
    return absl::OkStatus();
  }

  static absl::Status NotDone(absl::Status status, std::string reason) {
    return WithDetails(std::move(status),
                       {.reason = std::move(reason), .outcome = Outcome::kNotApplied});
  }

  absl::StatusOr<EpochsReply> AnswerEpochs(const EpochsRequest& request) const {
    if (request.epochs.size() != request.partitions.size()) {
      return NotDone(absl::InvalidArgumentError("epochs are those of the partitions"), "MALFORMED");
    }
    for (PartitionId partition : request.partitions) {
      if (partition.value() >= context_.layout->partitions()) {
        return NotDone(absl::InvalidArgumentError("no such partition"), "MALFORMED");
      }
      if (request.wants_round && context_.Owns(partition)) reaper_->WantRound(partition);
    }
    return TellEpochs(context_, request);
  }

  ReapView ReapState() const {
    if (context_.replica == nullptr) return {};
    ReapView view = reaper_->view();
    view.rebuilding = rebuilder_->rebuilding();
    for (uint32_t p = 0; context_.layout != nullptr && p < context_.layout->partitions(); ++p) {
      const PartitionId partition(p);
      view.untold += context_.Owns(partition) && !context_.epochs->Serves(partition);
    }
    return view;
  }

  // Own copies go to the owners, hints for an owner to anybody else.
  absl::StatusOr<NodeId> HintTarget(const ReplicateRequest& request) const {
    const PartitionId partition = context_.PartitionOf(request.item);
    if (context_.Owns(partition)) return NodeId();
    if (context_.layout->Owns(request.hint_for, partition)) return request.hint_for;
    return context_.NotOwner(partition);
  }

  void AnswerReplicate(ReplicateRequest request, Instant deadline, PeerDone done) {
    absl::StatusOr<NodeId> hint_for = HintTarget(request);
    if (!hint_for.ok()) return done(hint_for.status());
    const bool is_hint = *hint_for != NodeId();
    Place place{std::move(request.item), *hint_for};
    Replica::Merging merging{std::move(request.record), request.epoch, request.counted, deadline};
    context_.replica->Merge(
        std::move(place), std::move(merging),
        [this, is_hint, done = std::move(done)](absl::Status merged) mutable {
          if (is_hint) {
            ++(merged.ok() ? context_.counters.hints_stored : context_.counters.hints_refused);
          }
          if (!merged.ok()) return done(std::move(merged));
          done(PeerReply(ReplicateReply{.durable = context_.replica->Syncs(),
                                        .sequence = context_.Sequence()}));
        });
  }

  std::unique_ptr<RecordCache> record_cache_;  // First: all others use it.
  NodeContext context_;
  // Null in a coordinator.
  std::unique_ptr<SelfCheck> self_check_;
  std::unique_ptr<AntiEntropy> anti_entropy_;
  std::unique_ptr<Reaper> reaper_;
  std::unique_ptr<Rebuilder> rebuilder_;
  bool draining_ = false;
  size_t busy_ = 0;
  TaskGroup flows_;  // Last: the flows end before what they use.
};

absl::Status Validate(const Env& env, const NodeOptions& options) {
  std::set<std::string> names;
  for (const NodeOptions::Seed& seed : options.seeds) {
    if (!names.insert(seed.name).second) {
      return absl::InvalidArgumentError(absl::StrCat("members has \"", seed.name, "\" twice"));
    }
  }
  if (options.seeds.empty()) {
    return absl::InvalidArgumentError(
        "members is empty; list every initial node as NAME=HOST:PORT");
  }
  if (env.storage != nullptr && !names.contains(options.name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("members has no \"", options.name, "\", the name of this node"));
  }
  if (options.partitions == 0 || (options.partitions & (options.partitions - 1)) != 0 ||
      options.partitions > 65536) {
    return absl::InvalidArgumentError("partitions must be a power of two, from 1 to 65536");
  }
  if (options.replicas < 1 || options.replicas > 7) {
    return absl::InvalidArgumentError("replicas must be from 1 to 7");
  }
  return absl::OkStatus();
}

}  // namespace

Task<absl::StatusOr<std::unique_ptr<Node>>> Node::Start(Env env, NodeOptions options,
                                                        EventSink events) {
  if (absl::Status valid = Validate(env, options); !valid.ok()) co_return valid;
  absl::StatusOr<TokenKeys> tokens = TokenKeys::Create(options.secrets);
  if (!tokens.ok()) co_return tokens.status();
  const Incarnation incarnation(env.random->Next());
  Identity identity{.id = NodeId(env.random->Next())};
  std::unique_ptr<Epochs> epochs;
  std::unique_ptr<RecordCache> record_cache;
  if (env.storage != nullptr) {
    record_cache = std::make_unique<RecordCache>(env.storage, options.record_cache_bytes);
    env.storage = record_cache.get();
    absl::StatusOr<Identity> loaded = co_await LoadIdentity(env, options.cluster, options.name);
    if (!loaded.ok()) co_return loaded.status();
    identity = *std::move(loaded);
    if (identity.layout.has_value() && identity.layout->partitions() != options.partitions) {
      co_return absl::FailedPreconditionError(absl::StrCat(
          "the cluster has ", identity.layout->partitions(), " partitions for life, not ",
          options.partitions, "; set partitions to that number"));
    }
    epochs = std::make_unique<Epochs>(env, options.partitions);
    absl::Status read = co_await epochs->Load();
    if (!read.ok()) co_return read;
  }
  std::unique_ptr<Node> node = std::make_unique<NodeImpl>(
      env, std::move(record_cache), std::move(options), *std::move(tokens), std::move(identity),
      incarnation, std::move(epochs), std::move(events));
  co_return node;
}

}  // namespace annulus
