#include "sim/run.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "sim/auditor.h"
#include "sim/cluster.h"
#include "sim/equality.h"
#include "sim/lost_copies.h"
#include "sim/workload.h"

namespace annulus::sim {

namespace {

// Nobody waits longer than this in simulated time: clients that take longer are stuck.
constexpr Duration kClientsMax = 20min;
constexpr Duration kFormationMax = 30s;
constexpr double kEarlyFaultsChance = 0.15;
// Runs that have one fault at a time, and see whether every request is served.
constexpr double kOneAtATimeChance = 0.2;
// Of the others, those in which what is deleted, and reaped, meets what comes late.
constexpr double kReapingChance = 0.45;
// Long enough for every deadline and connection of the time before to end, and for hints whose
// replay was lost at the last moment.
constexpr Duration kQuiescence = 30s;
constexpr Duration kFinalReadPatience = 30s;
constexpr Duration kEqualityPatience = 60s;

// Tells the history what happens to forwarded writes.
class Watcher : public NetWatcher {
 public:
  Watcher(Cluster* cluster, History* history) : cluster_(cluster), history_(history) {}

  void OnForwardArrived(const RequestId& request_id, uint16_t to, bool copy) override {
    SimProcess& process = cluster_->Process(to);
    const uint64_t incarnation = (uint64_t{to} << 32) | static_cast<uint32_t>(process.crashes());
    const WriteId id = History::WriteOf(request_id);
    history_->OnForwardArrived(id, incarnation, LossesOf(process), copy);
    if (id != 0 && history_->write(id).forwards > 1) {
      cluster_->world().Tell(absl::StrFormat("  v%d is forwarded to %s: its forward number %d", id,
                                             process.name(), history_->write(id).forwards));
    }
  }
  void OnForwardAnswered(const RequestId& request_id, uint16_t to) override {
    history_->OnForwardAnswered(History::WriteOf(request_id), LossesOf(cluster_->Process(to)),
                                cluster_->world().now());
  }

 private:
  static uint64_t LossesOf(SimProcess& process) {
    return process.is_node() ? process.disk().stats().failed_commits : 0;
  }

  Cluster* cluster_;
  History* history_;
};

// What a run is about, besides everything.
enum class Theme { kAll, kOneFaultAtATime, kReaping };

const char* ToString(Theme theme) {
  switch (theme) {
    case Theme::kAll:
      return "";
    case Theme::kOneFaultAtATime:
      return ", one fault at a time";
    case Theme::kReaping:
      return ", much is deleted and messages straggle";
  }
  return "?";
}

ClusterOptions ShapeOf(Random shape, const RunOptions& options, Theme theme) {
  const bool one_at_a_time = theme == Theme::kOneFaultAtATime;
  ClusterOptions cluster;
  cluster.nodes = static_cast<int>(shape.Between(3, 6));
  cluster.coordinators = static_cast<int>(shape.Between(0, 2));
  cluster.replicas = shape.Chance(0.12) ? (shape.Chance(0.5) && cluster.nodes >= 5 ? 5 : 2) : 3;
  if (one_at_a_time) cluster.replicas = std::max(cluster.replicas, 3u);  // Of 2, both are a quorum.
  cluster.partitions = 1u << shape.Between(2, 5);
  cluster.sync = options.sync;
  // Short patience makes second questions, and so second answers, common.
  cluster.silence_max = Duration(shape.Between(20, shape.Chance(0.5) ? 50 : 150) * 1000000);
  // A limit that is met.
  if (shape.Chance(0.15)) cluster.siblings_max = static_cast<size_t>(shape.Between(3, 6));
  // Hints that are refused: what an owner missed comes by anti-entropy alone.
  if (!one_at_a_time && shape.Chance(0.2)) {
    cluster.hint_bytes_max = static_cast<uint64_t>(shape.Between(0, 1000));
  }
  // Often, so that what was sent before a round arrives after it.
  cluster.reap_interval = Duration(shape.Between(200, 5000) * 1000000);
  if (theme == Theme::kReaping) {
    cluster.reap_interval /= 20;
    cluster.partitions = 4;
    cluster.nodes = std::max(cluster.nodes, 4);
    cluster.coordinators = 2;
  }
  // None, one for a part of the keys, one for all: what rots on a disk is met by reads, or is not.
  constexpr size_t kRecordCaches[] = {0, 0, 24 << 10, 1 << 20};
  cluster.record_cache_bytes = kRecordCaches[shape.Below(std::size(kRecordCaches))];
  return cluster;
}

void Note(const LostCopies& lost, History* history) {
  for (const RequestId& id : lost.standing) history->NoteCopiesLost(History::WriteOf(id));
  for (const LostCopies::Part& part : lost.parts) {
    history->NoteKnowledgeLost(part.item, part.here, part.elsewhere);
  }
  for (const LostCopies::Part& part : lost.owned) {
    history->NoteOwnersLost(part.item, part.here, part.elsewhere);
  }
}

// What the nodes themselves have counted.
std::array<uint64_t, kSights> SightsOf(Cluster* cluster) {
  std::array<uint64_t, kSights> sights{};
  auto saw = [&](Sight sight, uint64_t times) { sights[static_cast<size_t>(sight)] += times; };
  for (int i = 1; i <= cluster->processes(); ++i) {
    for (const StatusView& life : cluster->Process(i).Lives()) {
      saw(Sight::kHints, life.counters.hints_replayed);
      saw(Sight::kReadRepairs, life.counters.read_repairs);
      saw(Sight::kReap, life.counters.tombstones_reaped);
      saw(Sight::kRebuild, life.counters.partitions_rebuilt);
    }
  }
  return sights;
}

void Limit(int* value, int max) {
  if (max > 0) *value = std::min(*value, max);
}

WorkloadOptions WorkOf(Random shape, const RunOptions& options, Theme theme) {
  WorkloadOptions work;
  work.clients = static_cast<int>(shape.Between(10, 16));
  work.operations = static_cast<int>(shape.Between(1100, 1300));
  work.keys = static_cast<int>(shape.Between(8, 24));
  work.lulls = static_cast<int>(shape.Between(1, 3));
  work.lull = Duration(shape.Between(20, 60) * 1000000000);
  if (theme == Theme::kReaping) {
    work.keys = std::min(work.keys, 12);
    work.deleting = true;
  }
  if (theme == Theme::kOneFaultAtATime) {
    work.at_quorum = true;
    work.answer_loss = 0;
    work.think_long = 25s;
  }
  Limit(&work.clients, options.clients_max);
  Limit(&work.operations, options.operations_max);
  Limit(&work.keys, options.keys_max);
  return work;
}

// Once all is well everybody sees every member as it is: alive, and in its present incarnation.
void CheckViews(Cluster* cluster, std::vector<std::string>* violations) {
  for (int i = 1; i <= cluster->processes(); ++i) {
    for (const MemberView& member : cluster->Process(i).node()->Status().members) {
      SimProcess* seen = cluster->Find(member.member.name);
      if (member.gossip == Standing::kAlive &&
          member.facts.incarnation == seen->node()->incarnation()) {
        continue;
      }
      violations->push_back(absl::StrCat(
          cluster->Process(i).name(), " still sees ", seen->name(), " as ",
          std::string(ToString(member.gossip)),
          member.facts.incarnation == seen->node()->incarnation() ? "" : ", of an earlier life"));
      return;
    }
  }
}

}  // namespace

std::string_view ToString(Sight sight) {
  switch (sight) {
    case Sight::kSiblings:
      return "siblings";
    case Sight::kLostWrites:
      return "lost unsynced writes";
    case Sight::kPromised:
      return "requests under one fault";
    case Sight::kHints:
      return "hints";
    case Sight::kReadRepairs:
      return "read repairs";
    case Sight::kReap:
      return "reap";
    case Sight::kRebuild:
      return "rebuild";
    case Sight::kCount:
      break;
  }
  return "?";
}

RunReport RunSeed(uint64_t seed, const RunOptions& options) {
  World world(seed);
  if (options.keep_story) world.KeepStory();
  RunReport report{.seed = seed};
  Random dice = world.random().Fork();
  Theme theme = Theme::kAll;
  if (dice.Chance(kOneAtATimeChance)) {
    theme = Theme::kOneFaultAtATime;
  } else if (dice.Chance(kReapingChance)) {
    theme = Theme::kReaping;
  }
  const bool one_at_a_time = theme == Theme::kOneFaultAtATime;
  const ClusterOptions shape = ShapeOf(dice.Fork(), options, theme);
  Cluster cluster(&world, shape);
  History history(std::min<uint32_t>(shape.replicas, static_cast<uint32_t>(shape.nodes)));
  // With sync off nothing is durable, and so nothing is as it looks for.
  std::optional<Auditor> auditor;
  if (shape.sync) auditor.emplace(&cluster);
  Watcher watcher(&cluster, &history);
  cluster.net().AddWatcher(&watcher);
  world.Tell(absl::StrFormat("seed %d: %d nodes, %d coordinators, %d replicas, %d partitions%s%s",
                             seed, shape.nodes, shape.coordinators, shape.replicas,
                             shape.partitions, shape.sync ? "" : ", sync off", ToString(theme)));
  Faults faults(&cluster,
                {.without = options.without,
                 .only_episodes = options.only_episodes,
                 .one_at_a_time = one_at_a_time,
                 .stragglers = theme == Theme::kReaping,
                 .on_copies_lost = [&](const LostCopies& lost) { Note(lost, &history); }});
  cluster.set_on_set_aside([&](int node, PartitionId partition) {
    Note(OnlyCopiesOf(&cluster, node, std::nullopt, nullptr, partition), &history);
  });
  Workload workload(&cluster, &faults, &history, WorkOf(dice.Fork(), options, theme));
  // Some clusters meet their first faults while they form.
  const bool early_faults = !one_at_a_time && dice.Chance(kEarlyFaultsChance);
  if (early_faults) {
    faults.Start();
    cluster.WaitReady(kFormationMax);
  } else if (!cluster.WaitReady(kFormationMax)) {
    report.violations.push_back("the cluster does not form without faults");
  }
  world.Tell("the clients begin");
  workload.Start();
  if (!early_faults) faults.Start();
  const bool ended = world.RunUntil([&] { return workload.Done(); }, kClientsMax);
  for (std::string& line : CheckDigests(cluster)) report.violations.push_back(std::move(line));
  faults.Heal();
  if (!ended) report.violations.push_back("clients are stuck");
  world.RunFor(kQuiescence);
  if (!cluster.WaitReady()) {
    report.violations.push_back("the cluster is not ready after the last fault");
  } else {
    CheckViews(&cluster, &report.violations);
    // Before reads can repair anything.
    for (std::string& line : CheckEquality(&cluster, kEqualityPatience)) {
      report.violations.push_back(std::move(line));
    }
    for (std::string& line : CheckReaped(&cluster, kEqualityPatience)) {
      report.violations.push_back(std::move(line));
    }
  }
  if (ended) workload.ReadAllOwners(kFinalReadPatience);
  world.Tell("every item was read from all its owners");

  for (int i = 1; i <= cluster.nodes(); ++i) {
    const size_t hints = cluster.Node(i).disk().Entries(ColumnFamily::kHint).size();
    if (hints == 0) continue;
    report.violations.push_back(absl::StrCat("HINTS LEFT node-", i, " keeps ", hints,
                                             " hints although everybody has long been back"));
  }

  if (auditor.has_value()) {
    for (const std::string& line : auditor->violations()) report.violations.push_back(line);
  }

  cluster.NoteClocks();
  if (faults.count(FaultKind::kBitFlip) > 0) history.NoteDamage();
  history.set_clock_error(cluster.wall_error_max());
  const CheckResult checked = Check(history);
  for (const Violation& violation : checked.violations) {
    report.violations.push_back(absl::StrCat(std::string(ToString(violation.rule)), " ",
                                             history.NameOf(violation.key), ": ", violation.text));
  }
  if (!checked.violations.empty()) {
    report.violation_history = history.Describe(checked.violations.front().key);
  }
  if (cluster.net().stats().unanswered > 0) {
    report.violations.push_back(absl::StrCat(cluster.net().stats().unanswered,
                                             " requests of peers were dropped without an answer"));
  }

  report.trace_hash = world.trace_hash();
  report.operations = history.operations();
  report.acknowledged = history.acknowledged();
  report.events = world.events();
  report.messages = cluster.net().stats().delivered;
  report.simulated_ms = static_cast<uint64_t>(world.now().time_since_epoch() / 1ms);
  report.scans = history.scans();
  report.siblings_max = checked.siblings_max;
  report.sibling_reads = checked.sibling_reads;
  report.exempted = checked.exempted;
  report.acknowledged_writes = checked.acknowledged_writes;
  report.lost_with_disks = checked.lost_with_disks;
  for (int i = 1; i <= cluster.processes(); ++i) {
    SimProcess& process = cluster.Process(i);
    report.crashes += static_cast<uint64_t>(process.crashes());
    if (!process.is_node()) continue;
    const SimDisk::Stats& disk = process.disk().stats();
    report.crashes_that_lost += disk.crashes_that_lost;
    report.batches_lost += disk.lost_batches;
    report.commits_failed += disk.failed_commits;
  }
  for (const WriteOp& write : history.writes()) {
    report.forwards_again += write.forwards > 1;
    report.several_minters += write.several_minters;
  }
  for (int kind = 0; kind < kFaultKinds; ++kind) {
    report.faults[kind] = faults.count(static_cast<FaultKind>(kind));
  }
  report.sights = SightsOf(&cluster);
  auto saw = [&](Sight sight) -> uint64_t& { return report.sights[static_cast<size_t>(sight)]; };
  saw(Sight::kSiblings) = checked.sibling_reads;
  saw(Sight::kLostWrites) = report.crashes_that_lost;
  saw(Sight::kPromised) = history.promised();
  report.episodes = faults.took_place();
  report.story = world.story();
  return report;
}

}  // namespace annulus::sim
