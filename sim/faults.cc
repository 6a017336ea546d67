#include "sim/faults.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace annulus::sim {

namespace {

// How often a second process may be down, paused or cut off beside the first.
constexpr double kSecondVictimChance = 0.08;
// A crash waits up to so many times 0.1 ms for a moment at which the disk has something to lose.
constexpr int kBusyTries = 3000;
constexpr double kCrashWhenBusyChance = 0.75;
constexpr double kMachineCrashChance = 0.3;

bool MakesVictim(FaultKind kind) {
  return kind == FaultKind::kIsolate || kind == FaultKind::kPartition ||
         kind == FaultKind::kCrash || kind == FaultKind::kPause || kind == FaultKind::kOneWayCut ||
         kind == FaultKind::kFullDisk;
}

bool IsOfDisks(FaultKind kind) {
  return kind == FaultKind::kSlowDisk || kind == FaultKind::kFullDisk ||
         kind == FaultKind::kFailingCommits;
}

}  // namespace

std::string_view ToString(FaultKind kind) {
  switch (kind) {
    case FaultKind::kDelay:
      return "delay";
    case FaultKind::kReorder:
      return "reorder";
    case FaultKind::kDuplicate:
      return "duplicate";
    case FaultKind::kLoss:
      return "loss";
    case FaultKind::kOneWayCut:
      return "one-way cut";
    case FaultKind::kIsolate:
      return "isolate";
    case FaultKind::kPartition:
      return "partition";
    case FaultKind::kCrash:
      return "crash";
    case FaultKind::kPause:
      return "pause";
    case FaultKind::kSlowDisk:
      return "slow disk";
    case FaultKind::kFullDisk:
      return "full disk";
    case FaultKind::kFailingCommits:
      return "failing commits";
    case FaultKind::kCount:
      break;
  }
  return "?";
}

bool Faults::Episode::Touches(uint16_t process) const {
  return processes.empty() ||
         std::find(processes.begin(), processes.end(), process) != processes.end();
}

Faults::Faults(Cluster* cluster, uint32_t without)
    : cluster_(cluster),
      world_(&cluster->world()),
      random_(world_->random().Fork()),
      is_victim_(cluster->processes() + 1, false) {
  if (random_.Chance(0.7)) {
    weather_.duplicate = random_.Fraction() * 0.04;
    weather_.reorder = random_.Fraction() * 0.05;
    weather_.loss = random_.Chance(0.5) ? random_.Fraction() * 0.004 : 0;
  }
  // Some runs see one kind all the time, others none of it.
  for (double& weight : weights_) {
    weight = random_.Chance(0.3) ? 0 : 0.2 + random_.Fraction();
  }
  weights_[static_cast<size_t>(FaultKind::kCrash)] += 1.0;
  for (int kind = 0; kind < kFaultKinds; ++kind) {
    if ((without >> kind) & 1) weights_[kind] = 0;
  }
  calm_ = Between(200ms, 2500ms);
  // Where two owners are all there are, a quorum is both, and every fault costs it.
  if (cluster_->options().replicas == 2) calm_ *= 4;
}

Duration Faults::Between(Duration low, Duration high) {
  return Duration(random_.Between(low.count(), high.count()));
}

void Faults::Start() { ScheduleNext(); }

void Faults::ScheduleNext() {
  world_->After(world_->loop(), Between(calm_ / 5, calm_ * 2), [this] {
    if (healed_) return;
    Begin();
    ScheduleNext();
  });
}

int Faults::PickVictim() {
  const auto victims = std::count(is_victim_.begin(), is_victim_.end(), true);
  if (victims >= 2 || (victims == 1 && !random_.Chance(kSecondVictimChance))) return 0;
  const int process = 1 + static_cast<int>(random_.Below(cluster_->processes()));
  return is_victim_[process] || !cluster_->Process(process).up() ||
                 cluster_->Process(process).paused()
             ? 0
             : process;
}

void Faults::Begin() {
  double total = 0;
  for (const double weight : weights_) total += weight;
  if (total == 0) return;
  double dice = random_.Fraction() * total;
  size_t kind_index = 0;
  while (kind_index + 1 < weights_.size() && dice >= weights_[kind_index]) {
    dice -= weights_[kind_index++];
  }
  Episode episode{.id = ++last_id_, .kind = static_cast<FaultKind>(kind_index)};
  Duration length = Between(200ms, 5s);
  episode.strength = 0.05 + 0.95 * random_.Fraction();
  episode.outward = random_.Chance(0.5);

  if (MakesVictim(episode.kind)) {
    const int victim = PickVictim();
    if (victim == 0) return;
    episode.processes = {victim};
    // The last of a small cluster's coordinators is as good a victim as any.
    if (episode.kind == FaultKind::kOneWayCut && random_.Chance(0.5)) {
      episode.other = 1 + static_cast<int>(random_.Below(cluster_->processes()));
      if (episode.other == victim) episode.other = 0;
    }
    if (episode.kind == FaultKind::kPartition) {
      // A side of two, now and then; the quorums within three owners may be cut.
      const int second = 1 + static_cast<int>(random_.Below(cluster_->processes()));
      if (second != victim) episode.processes.push_back(second);
    }
  } else if (IsOfDisks(episode.kind) || random_.Chance(0.5)) {
    episode.processes = {1 + static_cast<int>(random_.Below(cluster_->processes()))};
  }
  if (IsOfDisks(episode.kind) && !cluster_->Process(episode.processes[0]).is_node()) return;

  switch (episode.kind) {
    case FaultKind::kCrash: {
      const int process = episode.processes[0];
      is_victim_[process] = true;
      ++counts_[kind_index];
      // Many come back at once, while what they had sent is still on its way.
      const Duration down_for = random_.Chance(0.4) ? Between(5ms, 100ms) : Between(100ms, 6s);
      const bool wait =
          cluster_->Process(process).is_node() && random_.Chance(kCrashWhenBusyChance);
      CrashWhenBusy(process, wait ? kBusyTries : 0, down_for);
      return;
    }
    case FaultKind::kPause:
      cluster_->Process(episode.processes[0]).Pause();
      break;
    case FaultKind::kFullDisk:
      length = Between(200ms, 2s);
      break;
    default:
      break;
  }
  ++counts_[kind_index];
  if (MakesVictim(episode.kind)) {
    for (const int process : episode.processes) is_victim_[process] = true;
  }
  Note(episode, true);
  const uint64_t id = episode.id;
  episodes_.push_back(std::move(episode));
  Apply();
  world_->After(world_->loop(), length, [this, id] { End(id); });
}

void Faults::End(uint64_t id) {
  const auto found = std::find_if(episodes_.begin(), episodes_.end(),
                                  [&](const Episode& episode) { return episode.id == id; });
  if (found == episodes_.end()) return;
  const Episode episode = std::move(*found);
  episodes_.erase(found);
  if (MakesVictim(episode.kind)) {
    for (const int process : episode.processes) is_victim_[process] = false;
  }
  if (episode.kind == FaultKind::kPause) {
    SimProcess& process = cluster_->Process(episode.processes[0]);
    if (process.paused()) process.Resume();
  }
  Note(episode, false);
  Apply();
}

void Faults::CrashWhenBusy(int number, int tries, Duration down_for) {
  SimProcess& process = cluster_->Process(number);
  if (healed_ || !process.up() || process.paused()) {
    is_victim_[number] = false;
    return;
  }
  if (tries > 0 && process.disk().unsynced() == 0) {
    world_->After(world_->loop(), 100us,
                  [this, number, tries, down_for] { CrashWhenBusy(number, tries - 1, down_for); });
    return;
  }
  const CrashKind kind =
      random_.Chance(kMachineCrashChance) ? CrashKind::kMachine : CrashKind::kProcess;
  world_->Tell(absl::StrFormat("%s crashes%s, for %.3f s", process.name(),
                               kind == CrashKind::kMachine ? " with its machine" : "",
                               ToSeconds(down_for)));
  process.Crash(kind);
  world_->After(world_->loop(), down_for, [this, number] {
    is_victim_[number] = false;
    SimProcess& process = cluster_->Process(number);
    if (process.up()) return;
    world_->Tell(absl::StrCat(process.name(), " starts again"));
    process.Restart();
  });
}

void Faults::Apply() {
  const auto processes = static_cast<uint16_t>(cluster_->processes());
  for (uint16_t from = 1; from <= processes; ++from) {
    for (uint16_t to = 1; to <= processes; ++to) {
      if (from == to) continue;
      PathConditions path = weather_;
      for (const Episode& episode : episodes_) {
        const bool from_in = episode.Touches(from);
        const bool to_in = episode.Touches(to);
        const bool touched = from_in || to_in;
        switch (episode.kind) {
          case FaultKind::kDelay:
            if (!touched) break;
            path.delay += Duration(static_cast<int64_t>(episode.strength * 200e6));
            path.jitter += Duration(static_cast<int64_t>(episode.strength * 200e6));
            break;
          case FaultKind::kReorder:
            if (touched) path.reorder = std::max(path.reorder, episode.strength * 0.5);
            break;
          case FaultKind::kDuplicate:
            if (touched) path.duplicate = std::max(path.duplicate, episode.strength * 0.5);
            break;
          case FaultKind::kLoss:
            if (touched) path.loss = std::max(path.loss, episode.strength * 0.2);
            break;
          case FaultKind::kOneWayCut: {
            const bool cut_here = episode.outward
                                      ? from_in && (episode.other == 0 || episode.other == to)
                                      : to_in && (episode.other == 0 || episode.other == from);
            if (cut_here) path.up = false;
            break;
          }
          case FaultKind::kIsolate:
          case FaultKind::kPartition:
            if (from_in != to_in) path.up = false;
            break;
          default:
            break;
        }
      }
      cluster_->net().SetPath(from, to, path);
    }
  }
  for (int i = 1; i <= cluster_->nodes(); ++i) {
    DiskConditions disk;
    for (const Episode& episode : episodes_) {
      if (!IsOfDisks(episode.kind) || !episode.Touches(static_cast<uint16_t>(i))) continue;
      if (episode.kind == FaultKind::kFullDisk) disk.full = true;
      if (episode.kind == FaultKind::kFailingCommits) disk.commit_failure = episode.strength * 0.3;
      if (episode.kind == FaultKind::kSlowDisk) {
        disk.slow_by += Duration(static_cast<int64_t>(episode.strength * 300e6));
      }
    }
    cluster_->Node(i).disk().set_conditions(disk);
  }
}

void Faults::Heal() {
  healed_ = true;
  weather_ = PathConditions{};
  while (!episodes_.empty()) End(episodes_.back().id);
  Apply();
  for (int i = 1; i <= cluster_->processes(); ++i) {
    SimProcess& process = cluster_->Process(i);
    if (process.paused()) process.Resume();
    if (!process.up()) {
      world_->Tell(absl::StrCat(process.name(), " starts again"));
      process.Restart();
    }
  }
  world_->Tell("all faults are healed");
}

void Faults::Note(const Episode& episode, bool begins) {
  world_->Trace(TraceKind::kFault, static_cast<uint64_t>(episode.kind), begins, episode.id);
  if (!world_->keeps_story()) return;
  const std::string whom =
      episode.processes.empty()
          ? "everybody"
          : absl::StrJoin(episode.processes, " and ", [&](std::string* out, int process) {
              absl::StrAppend(out, cluster_->Process(process).name());
            });
  std::string detail;
  if (episode.kind == FaultKind::kOneWayCut) {
    detail = absl::StrCat(episode.outward ? ", out to " : ", in from ",
                          episode.other == 0 ? "all" : cluster_->Process(episode.other).name());
  } else if (!MakesVictim(episode.kind)) {
    detail = absl::StrFormat(", strength %.2f", episode.strength);
  }
  world_->Tell(absl::StrFormat("%s %s: %s%s", begins ? "begins" : "ends", ToString(episode.kind),
                               whom, begins ? detail : ""));
}

}  // namespace annulus::sim
