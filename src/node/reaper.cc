#include "node/reaper.h"

#include <algorithm>
#include <utility>

#include "base/planted.h"
#include "core/hint/hint.h"
#include "core/merkle/tree.h"
#include "core/reap/dead.h"
#include "node/ask.h"
#include "task/sleep.h"

namespace annulus {
namespace {

// Of one round, so that its messages stay small and other work gets its turns.
constexpr size_t kKeysMax = 512;
constexpr size_t kKeyBytesMax = 512 << 10;
// Records that one look for dead ones reads: where many only wait for their time, it goes on there
// the next time.
constexpr size_t kLooksMax = 4096;
constexpr size_t kPageEntries = 256;
constexpr size_t kPageBytes = 1 << 20;
// Between rounds.
constexpr Duration kPause = 5ms;
// A round that somebody waits for comes so soon.
constexpr Duration kWantedWithin = 200ms;

using Page = absl::StatusOr<StoragePage>;

absl::Status Late(std::string why) {
  return WithDetails(absl::FailedPreconditionError(std::move(why)),
                     {.reason = "ROUND_OVER", .outcome = Outcome::kNotApplied});
}

// The keys to which everybody said yes. Rule EQUAL_ON_ALL: each compares its copy with the
// driver's.
std::vector<KeyDigest> AgreedBy(const std::vector<ReapReply>& replies,
                                const std::vector<KeyDigest>& keys) {
  std::vector<KeyDigest> agreed;
  for (size_t i = 0; i < keys.size(); ++i) {
    const bool all = std::all_of(replies.begin(), replies.end(),
                                 [i](const ReapReply& reply) { return reply.yes[i]; });
    if (all) agreed.push_back(keys[i]);
  }
  return agreed;
}

}  // namespace

struct Reaper::Round {
  PartitionId partition;
  Epoch epoch;
  std::vector<NodeId> owners;
  std::vector<NodeId> others;  // The members that own nothing of it.
  std::map<NodeId, Incarnation> incarnations;
};

Reaper::Reaper(NodeContext* node) : node_(node), wake_(node->env.loop) {}

void Reaper::WantRound(PartitionId partition) {
  if (wanted_.insert(partition).second && wanted_.size() == 1) wake_.sender().Deliver(true);
}

Task<void> Reaper::Run() {
  Instant next_pass = node_->Now();
  while (true) {
    // A little more or less each time, so that members do not keep in step.
    const Duration interval = node_->options.reap_interval;
    next_pass += Duration(node_->env.random->Between(interval.count() * 3 / 4, interval.count()));
    while (node_->Now() < next_pass) {
      std::optional<bool> woken = co_await wake_.Next(next_pass);
      if (!woken.has_value()) break;
      co_await Sleep(node_->env.loop, kWantedWithin);
      const std::set<PartitionId> wanted = std::exchange(wanted_, {});
      for (PartitionId partition : wanted) co_await RunRounds(partition, /*wanted=*/true);
    }
    co_await Pass();
    next_pass = std::max(next_pass, node_->Now());
  }
}

Task<void> Reaper::Pass() {
  std::shared_ptr<const Layout> layout = node_->layout;
  if (layout == nullptr) co_return;
  for (uint32_t p = 0; p < layout->partitions(); ++p) {
    const PartitionId partition(p);
    if (!node_->Owns(partition) || !node_->epochs->Serves(partition)) continue;
    const bool marks_stay = co_await MarksStay(partition);
    const NodeId driver = layout->Owners(partition).front();
    if (driver == node_->id) {
      co_await RunRounds(partition, marks_stay);
    } else if (marks_stay) {
      EpochsRequest request{{partition}, {node_->epochs->Of(partition)}, /*wants_round=*/true};
      PeerRequest question = std::move(request);
      absl::StatusOr<EpochsReply> told =
          co_await Ask<EpochsReply>(node_, driver, std::move(question));
      told.IgnoreError();  // It is asked again after the next pass.
    }
  }
}

// Whether there are marks here, and were at the last pass: of a round that ended before its last
// step came here.
Task<bool> Reaper::MarksStay(PartitionId partition) {
  KeyRange range = MarkRange(partition);
  Page page = co_await Await<Page>([&](auto done) {
    node_->env.storage->ReadRange(ColumnFamily::kMeta, std::move(range.begin), std::move(range.end),
                                  1, kPageBytes, std::move(done));
  });
  if (!page.ok() || page->entries.empty()) {
    marked_.erase(partition);
    co_return false;
  }
  co_return !marked_.insert(partition).second;
}

Task<void> Reaper::RunRounds(PartitionId partition, bool wanted) {
  bool more = true;
  while (more) {
    Round round{.partition = partition};
    more = false;
    std::vector<KeyDigest> dead = co_await ListDead(partition, &more);
    blocked_.erase(partition);
    if (dead.empty() && !std::exchange(wanted, false)) co_return;
    co_await Sleep(node_->env.loop, kPause);
    bool ended = co_await Gather(&round);
    if (ended) ended = co_await RunSteps(&round, std::move(dead));
    ++(ended ? node_->counters.reap_rounds : node_->counters.reap_rounds_failed);
    more &= ended;
  }
}

// Who takes part: all members, each as the process that it is now.
Task<bool> Reaper::Gather(Round* round) {
  const PartitionId partition = round->partition;
  std::shared_ptr<const Layout> layout = node_->layout;
  std::vector<Question> questions;
  std::vector<NodeId> asked;
  round->owners = layout->Owners(partition);
  for (const Member& member : layout->members()) {
    if (!layout->Owns(member.id, partition)) round->others.push_back(member.id);
    if (member.id == node_->id) continue;
    EpochsRequest request{{partition}, {node_->epochs->Of(partition)}};
    questions.push_back({member.id, std::move(request)});
    asked.push_back(member.id);
  }
  const std::vector<absl::StatusOr<EpochsReply>> replies =
      co_await AskAll<EpochsReply>(node_, std::move(questions));
  std::vector<PartitionEpochs> epochs = {node_->epochs->Of(partition)};
  round->incarnations[node_->id] = node_->incarnation;
  if (epochs[0].rebuilding) Block(partition, node_->id);
  for (size_t i = 0; i < replies.size(); ++i) {
    const bool told = replies[i].ok() && replies[i]->epochs.size() == 1;
    if (!told || (layout->Owns(asked[i], partition) && replies[i]->epochs[0].rebuilding)) {
      Block(partition, asked[i]);
    }
    if (!told) continue;
    epochs.push_back(replies[i]->epochs[0]);
    round->incarnations[asked[i]] = replies[i]->incarnation;
  }
  round->epoch = EpochAbove(epochs);
  // What it hears of is known to another disk from then on, even where there is no round.
  const PartitionEpochs& own = node_->epochs->Of(partition);
  const Epoch heard(round->epoch.value() - 1);
  if (heard > std::max(own.current, own.reserved)) {
    absl::Status reserved = co_await node_->epochs->Reserve(partition, heard);
    if (!reserved.ok()) Block(partition, node_->id);
  }
  co_return !blocked_.contains(partition);
}

// Returns whether it came to its end.
Task<bool> Reaper::RunSteps(Round* round, std::vector<KeyDigest> keys) {
  using Said = std::optional<std::vector<ReapReply>>;
  std::vector<KeyDigest> none;
  absl::Status reserved = co_await node_->epochs->Reserve(round->partition, round->epoch);
  if (!reserved.ok()) {
    Block(round->partition, node_->id);
    co_return false;
  }
  Said said = co_await AskStep(round, ReapStep::kRaise, none);
  if (!said.has_value()) co_return false;
  // Rule RAISE_BEFORE_NOTE.
  said = co_await AskStep(round, ReapStep::kNote, none);
  if (!said.has_value()) co_return false;
  // Rule REPORT.
  for (size_t i = 0; i < round->others.size(); ++i) {
    if (!(*said)[i].yes[0]) Block(round->partition, round->others[i]);
  }
  if (blocked_.contains(round->partition)) co_return false;

  // Fewer keys with each step that asks about them.
  said = co_await AskStep(round, ReapStep::kCollect, keys);
  if (!said.has_value()) co_return false;
  keys = AgreedBy(*said, keys);
  if (keys.empty()) co_return true;
  if (!PlantedBugs::Has(PlantedBug::kMarkWithoutClose)) {
    said = co_await AskStep(round, ReapStep::kClose, none);
    if (!said.has_value()) co_return false;
  }
  if (!PlantedBugs::Has(PlantedBug::kDeleteWithoutMark)) {
    said = co_await AskStep(round, ReapStep::kMark, keys);
    if (!said.has_value()) co_return false;
    keys = AgreedBy(*said, keys);
  }
  said = co_await AskStep(round, ReapStep::kDelete, keys);
  co_return said.has_value();
}

Task<std::vector<KeyDigest>> Reaper::ListDead(PartitionId partition, bool* more) {
  std::vector<KeyDigest> dead;
  const KeyRange range = DyingRange(partition);
  Bytes begin = std::max(range.begin, cursors_[partition]);
  cursors_.erase(partition);
  size_t bytes = 0;
  const WallTime now = node_->env.clock->Wall();
  for (size_t looks = 0; looks < kLooksMax; looks += kPageEntries) {
    Bytes end = range.end;
    Page page = co_await Await<Page>([&](auto done) {
      node_->env.storage->ReadRange(ColumnFamily::kMeta, begin, std::move(end), kPageEntries,
                                    kPageBytes, std::move(done));
    });
    if (!page.ok()) co_return dead;
    for (const auto& [key, value] : page->entries) {
      if (dead.size() >= kKeysMax || bytes >= kKeyBytesMax) {
        *more = true;
        break;
      }
      begin = Successor(key);
      const absl::StatusOr<WallTime> dies_at = DecodeDiesAt(value);
      if (!dies_at.ok() || !IsDead(*dies_at, now, node_->options.clock_skew_max)) continue;
      Bytes data_key(DataKeyOfIndex(key));
      absl::StatusOr<ParsedDataKey> parsed = ParseDataKey(data_key);
      if (!parsed.ok()) continue;
      Item item = parsed->item;
      absl::StatusOr<Replica::Copy> copy = co_await node_->replica->Read(std::move(item));
      if (!copy.ok() || !copy->record.has_value()) continue;
      // What an earlier round has marked is in no leaf.
      const uint64_t digest = LeafDigest(parsed->item, *copy->record, copy->marked);
      if (digest == 0) continue;
      bytes += data_key.size();
      dead.push_back({std::move(data_key), digest});
    }
    if (*more) break;
    if (!page->more) co_return dead;
  }
  cursors_[partition] = std::move(begin);
  co_return dead;
}

Task<std::optional<std::vector<ReapReply>>> Reaper::AskStep(Round* round, ReapStep step,
                                                            std::vector<KeyDigest> keys) {
  const std::vector<NodeId>& members = step == ReapStep::kNote ? round->others : round->owners;
  const auto request_to = [&](NodeId member) {
    return ReapRequest{.partition = round->partition,
                       .incarnation = round->incarnations[member],
                       .epoch = round->epoch,
                       .step = step,
                       .keys = keys};
  };
  std::vector<Question> questions;
  for (NodeId member : members) {
    if (member != node_->id) questions.push_back({member, request_to(member)});
  }
  std::vector<absl::StatusOr<ReapReply>> replies =
      co_await AskAll<ReapReply>(node_, std::move(questions));
  const size_t answers = step == ReapStep::kNote ? 1 : keys.size();
  std::vector<ReapReply> said;
  size_t next = 0;
  bool all = true;
  bool takes_part = false;
  for (NodeId member : members) {
    if (member == node_->id) {
      takes_part = true;
      continue;
    }
    absl::StatusOr<ReapReply> reply = std::move(replies[next++]);
    if (reply.ok() && reply->yes.size() == answers) {
      said.push_back(*std::move(reply));
    } else {
      Block(round->partition, member);
      all = false;
    }
  }
  // Itself last; and where not all others have raised, not at all (core/reap: reserved).
  if (takes_part && (all || step != ReapStep::kRaise)) {
    ReapRequest own = request_to(node_->id);
    absl::StatusOr<ReapReply> reply = co_await Answer(std::move(own));
    if (reply.ok() && reply->yes.size() == answers) {
      said.push_back(*std::move(reply));
    } else {
      Block(round->partition, node_->id);
      all = false;
    }
  }
  if (!all) co_return std::nullopt;
  co_return said;
}

void Reaper::Block(PartitionId partition, NodeId by) { blocked_[partition].insert(by); }

ReapView Reaper::view() const {
  ReapView view;
  std::set<NodeId> by;
  for (const auto& [partition, members] : blocked_) {
    ++view.blocked;
    by.insert(members.begin(), members.end());
  }
  for (NodeId member : by) view.blocked_by.push_back(node_->NameOf(member));
  std::sort(view.blocked_by.begin(), view.blocked_by.end());
  return view;
}

Task<absl::StatusOr<ReapReply>> Reaper::Answer(ReapRequest request) {
  const PartitionId partition = request.partition;
  if (partition.value() >= node_->options.partitions) {
    co_return absl::InvalidArgumentError("no such partition");
  }
  // Rule SAME_INCARNATION: its disk may be another one than the round began with.
  if (request.incarnation != node_->incarnation) co_return Late("this node has started since");
  Epochs& epochs = *node_->epochs;
  const Epoch current = epochs.Of(partition).current;
  if ((request.step == ReapStep::kNote) == node_->Owns(partition)) {
    co_return node_->NotOwner(partition);
  }
  if (request.step == ReapStep::kNote) {
    if (current > request.epoch) co_return Late("a later round is under way");
    absl::StatusOr<ReapReply> noted = co_await Note(request);
    co_return noted;
  }
  if (absl::Status serves = epochs.CheckServes(partition); !serves.ok()) co_return serves;
  ReapReply all{std::vector<bool>(request.keys.size(), true)};
  if (request.step == ReapStep::kRaise) {
    if (current > request.epoch) co_return Late("a later round is under way");
    absl::Status raised = co_await epochs.Raise(partition, request.epoch);
    if (!raised.ok()) co_return raised;
    co_return all;
  }
  if (request.step == ReapStep::kClose) {
    if (current < request.epoch) co_return Late("the epoch was not raised here");
    absl::Status closed = co_await epochs.Close(partition, request.epoch);
    if (!closed.ok()) co_return closed;
    co_return all;
  }
  if (current != request.epoch) co_return Late("this partition is in another epoch");
  if (request.step == ReapStep::kCollect) {
    absl::StatusOr<ReapReply> collected = co_await Collect(request);
    co_return collected;
  }
  const bool marks = request.step == ReapStep::kMark;
  ReapReply reply = co_await ForEach(
      request.keys, [this, marks, epoch = request.epoch](const KeyDigest& key) -> Task<bool> {
        Bytes data_key = key.data_key;
        absl::Status done;
        if (marks) {
          done = co_await node_->replica->Mark(std::move(data_key), key.digest, epoch);
        } else {
          done = co_await node_->replica->Reap(std::move(data_key), epoch);
          node_->counters.tombstones_reaped += done.ok();
        }
        co_return done.ok();
      });
  co_return reply;
}

Task<absl::StatusOr<ReapReply>> Reaper::Note(const ReapRequest& request) {
  const PartitionId partition = request.partition;
  const Epoch epoch = request.epoch;
  absl::Status noted = co_await node_->epochs->Note(partition, epoch);
  if (!noted.ok()) co_return noted;
  // Rule REPORT_AFTER_NOTE: only now is what was taken before on the disk.
  absl::StatusOr<bool> kept = co_await HasHintsBelow(partition, epoch);
  if (!kept.ok()) co_return kept.status();
  const bool clear = !*kept || PlantedBugs::Has(PlantedBug::kHintsNotReported);
  co_return ReapReply{std::vector<bool>(1, clear)};
}

Task<absl::StatusOr<bool>> Reaper::HasHintsBelow(PartitionId partition, Epoch epoch) {
  std::shared_ptr<const Layout> layout = node_->layout;
  for (NodeId owner : layout->Owners(partition)) {
    const KeyRange range = PartitionRange(partition);
    Bytes begin = HintKey(owner, range.begin);
    while (true) {
      Bytes end = HintKey(owner, range.end);
      Page page = co_await Await<Page>([&](auto done) {
        node_->env.storage->ReadRange(ColumnFamily::kHint, begin, std::move(end), kPageEntries,
                                      kPageBytes, std::move(done));
      });
      if (!page.ok()) co_return page.status();
      for (const auto& [key, value] : page->entries) {
        absl::StatusOr<Hint> hint = DecodeHint(value);
        if (!hint.ok()) {
          node_->replica->NoteDamage(ColumnFamily::kHint, key);
          co_return hint.status();
        }
        if (hint->pointer == 0 && hint->stored.epoch < epoch) co_return true;
      }
      if (!page->more) break;
      begin = Successor(page->entries.back().first);
    }
  }
  co_return false;
}

Task<absl::StatusOr<ReapReply>> Reaper::Collect(const ReapRequest& request) {
  const PartitionId partition = request.partition;
  absl::Status unmarked = co_await UnmarkAll(partition);
  if (!unmarked.ok()) co_return unmarked;
  ReapReply reply = co_await ForEach(request.keys, [this](const KeyDigest& key) -> Task<bool> {
    Bytes data_key = key.data_key;
    absl::StatusOr<bool> eligible =
        co_await node_->replica->IsEligible(std::move(data_key), key.digest);
    co_return eligible.ok() && *eligible;
  });
  co_return reply;
}

Task<absl::Status> Reaper::UnmarkAll(PartitionId partition) {
  const KeyRange range = MarkRange(partition);
  Bytes begin = range.begin;
  while (true) {
    Bytes end = range.end;
    Page page = co_await Await<Page>([&](auto done) {
      node_->env.storage->ReadRange(ColumnFamily::kMeta, begin, std::move(end), kPageEntries,
                                    kPageBytes, std::move(done));
    });
    if (!page.ok()) co_return page.status();
    for (const auto& [key, value] : page->entries) {
      Bytes data_key(DataKeyOfIndex(key));
      absl::Status unmarked = co_await node_->replica->Unmark(std::move(data_key));
      if (!unmarked.ok()) co_return unmarked;
    }
    if (!page->more) co_return absl::OkStatus();
    begin = Successor(page->entries.back().first);
  }
}

template <class Step>
Task<ReapReply> Reaper::ForEach(const std::vector<KeyDigest>& keys, Step step) {
  struct Done {
    size_t key;
    bool yes;
  };
  Mailbox<Done> box(node_->env.loop);
  TaskGroup steps;
  const auto run = [this, &step, &keys, to = box.sender()](size_t i) -> Task<void> {
    const bool yes = co_await step(keys[i]);
    // Posted, since the last one ends the flow that owns this one.
    node_->env.loop->Post([to, i, yes] { to.Deliver({i, yes}); });
  };
  for (size_t i = 0; i < keys.size(); ++i) steps.Spawn(run(i));
  ReapReply reply{std::vector<bool>(keys.size(), false)};
  for (size_t left = keys.size(); left > 0; --left) {
    std::optional<Done> done = co_await box.Next();
    reply.yes[done->key] = done->yes;
  }
  co_return reply;
}

}  // namespace annulus
