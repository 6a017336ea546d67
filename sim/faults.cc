#include "sim/faults.h"

#include <algorithm>
#include <cmath>
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
constexpr double kCrashWhileCutOffChance = 0.8;
constexpr double kHealOneByOneChance = 0.5;
constexpr double kBackLinkByLinkChance = 0.4;
constexpr Duration kBackMin = 300ms;
// A power cut waits so long for a hint that is being written.
constexpr Duration kHintWait = 1s;
// And those who all went down come back sooner than one of them would: meanwhile clients can only
// be refused, which proves nothing.
constexpr Duration kPowerCutMax = 1500ms;
// Between two faults, where they come one at a time: lines are dialled again, and what was missed
// is caught up with.
constexpr Duration kRecovery = 8s;
constexpr Duration kStepMax = 10min;
constexpr Duration kOldDiskAgeMax = 60s;
constexpr double kRateMaxPpm = 50000;

struct Traits {
  bool makes_victim = false;  // Costs a quorum one of its members, or more.
  bool of_disk = false;
  bool of_link = false;  // About one pair.
  bool of_many = false;  // About more than one process, disk, link or clock.
  bool of_clock = false;
};

Traits TraitsOf(FaultKind kind) {
  switch (kind) {
    case FaultKind::kDelay:
    case FaultKind::kReorder:
    case FaultKind::kDuplicate:
    case FaultKind::kLoss:
    case FaultKind::kCount:
      return {};
    case FaultKind::kOneWayCut:
    case FaultKind::kIsolate:
    case FaultKind::kCrash:
    case FaultKind::kPause:
    case FaultKind::kDrain:
      return {.makes_victim = true};
    case FaultKind::kPartition:
    case FaultKind::kCutLinks:
    case FaultKind::kBridge:
    case FaultKind::kRing:
    case FaultKind::kSwizzle:
    case FaultKind::kPowerCut:
      return {.makes_victim = true, .of_many = true};
    case FaultKind::kSlowLink:
    case FaultKind::kHalfOpen:
      return {.of_link = true};
    case FaultKind::kSlowDisk:
    case FaultKind::kFailingCommits:
    case FaultKind::kBitFlip:
      return {.of_disk = true};
    case FaultKind::kFullDisk:
    case FaultKind::kTornWrite:
    case FaultKind::kSyncError:
    case FaultKind::kAmnesia:
    case FaultKind::kOldDisk:
      return {.makes_victim = true, .of_disk = true};
    case FaultKind::kClockStep:
    case FaultKind::kClockRate:
      return {.of_clock = true};
  }
  return {};
}

}  // namespace

bool Faults::Episode::Touches(uint16_t process) const {
  return processes.empty() ||
         std::find(processes.begin(), processes.end(), process) != processes.end();
}

bool Faults::Episode::IsLink(uint16_t a, uint16_t b) const {
  return processes.size() == 1 && other != 0 &&
         ((processes[0] == a && other == b) || (processes[0] == b && other == a));
}

Faults::Faults(Cluster* cluster, FaultOptions options)
    : cluster_(cluster),
      world_(&cluster->world()),
      options_(std::move(options)),
      random_(world_->random().Fork()),
      is_victim_(cluster->processes() + 1, false),
      is_replaced_(cluster->processes() + 1, false),
      unhealthy_until_(cluster->processes() + 1, Instant::min()),
      old_disks_(cluster->processes() + 1) {
  if (random_.Chance(0.7) && !options_.one_at_a_time) {
    weather_.duplicate = random_.Fraction() * 0.04;
    weather_.reorder = random_.Fraction() * 0.05;
    weather_.loss = random_.Chance(0.5) ? random_.Fraction() * 0.004 : 0;
  }
  if (options_.stragglers) weather_.straggle = 0.005 + random_.Fraction() * 0.025;
  // Some runs see one kind all the time, others none of it.
  for (double& weight : weights_) {
    weight = random_.Chance(0.3) ? 0 : 0.2 + random_.Fraction();
  }
  weights_[static_cast<size_t>(FaultKind::kCrash)] += 1.0;
  weights_[static_cast<size_t>(FaultKind::kIsolate)] += 0.5;
  weights_[static_cast<size_t>(FaultKind::kPowerCut)] *= 0.25;  // It costs everybody.
  // Each costs copies, of which there are but N; so much rots or is replaced in no week.
  for (const FaultKind kind : {FaultKind::kBitFlip, FaultKind::kAmnesia, FaultKind::kOldDisk}) {
    weights_[static_cast<size_t>(kind)] *= 0.3;
  }
  if (options_.stragglers) weights_[static_cast<size_t>(FaultKind::kSlowDisk)] += 1.0;
  for (int kind = 0; kind < kFaultKinds; ++kind) {
    const auto of = static_cast<FaultKind>(kind);
    // Damage goes unseen, and an old copy is made, while other faults come and go.
    const bool lasts =
        TraitsOf(of).of_many || of == FaultKind::kBitFlip || of == FaultKind::kOldDisk;
    if (options_.one_at_a_time && lasts) weights_[kind] = 0;
  }
  calm_ = Between(&random_, 200ms, 2500ms);
  // Where two owners are all there are, a quorum is both, and every fault costs it.
  if (cluster_->options().replicas == 2) calm_ *= 4;
}

Duration Faults::Between(Random* dice, Duration low, Duration high) const {
  return Duration(dice->Between(low.count(), high.count()));
}

void Faults::Start() { ScheduleNext(Duration(0)); }

void Faults::ScheduleNext(Duration wait) {
  world_->After(world_->loop(), wait + Between(&random_, calm_ / 5, calm_ * 2), [this] {
    if (healed_) return;
    const Duration lasts = Begin(++last_id_);
    ScheduleNext(options_.one_at_a_time ? lasts : Duration(0));
  });
}

int Faults::AnyProcess(Random* dice) const {
  return 1 + static_cast<int>(dice->Below(cluster_->processes()));
}

bool Faults::WasHealthy(int process, Instant since) const {
  return unhealthy_until_[process] < since;
}

Duration Faults::Begin(uint64_t id) {
  Episode episode{.id = id, .kind = FaultKind::kCount, .dice = random_.Fork()};
  Random& dice = episode.dice;
  double total = 0;
  for (const double weight : weights_) total += weight;
  double pick = dice.Fraction() * total;
  size_t kind = 0;
  while (kind + 1 < weights_.size() && pick >= weights_[kind]) pick -= weights_[kind++];
  episode.kind = static_cast<FaultKind>(kind);
  episode.length = Between(&dice, 200ms, 5s);
  episode.strength = 0.05 + 0.95 * dice.Fraction();
  if (!IsWanted(episode)) return episode.length + kRecovery;
  if (!Aim(&episode)) return Duration(0);

  ++counts_[kind];
  took_place_.push_back(id);
  Duration lasts = episode.length + kRecovery;
  if (episode.kind == FaultKind::kDrain) lasts += SimProcess::kDrainMax;
  if (Strike(episode)) return lasts;
  for (const int process : episode.processes) {
    if (TraitsOf(episode.kind).makes_victim) is_victim_[process] = true;
    // A link is no process, and of a disk or a clock its process knows no harm.
    const Traits traits = TraitsOf(episode.kind);
    if (episode.other == 0 && !traits.of_disk && !traits.of_clock) {
      unhealthy_until_[process] = world_->now() + lasts;
    }
  }
  if (episode.kind == FaultKind::kPause) cluster_->Process(episode.processes[0]).Pause();
  if (episode.kind == FaultKind::kSwizzle) RunSwizzle(episode);
  if (episode.kind == FaultKind::kIsolate && !options_.one_at_a_time &&
      episode.dice.Chance(kCrashWhileCutOffChance)) {
    CrashWhileCutOff(episode);
  }
  if (episode.kind == FaultKind::kIsolate && !options_.one_at_a_time &&
      dice.Chance(kHealOneByOneChance)) {
    HealOneByOne(episode, Shuffled(&episode.dice, episode.cuts));
  }
  StartClock(&episode);
  Note(episode, true);
  episodes_.push_back(std::move(episode));
  Apply();
  world_->After(world_->loop(), episodes_.back().length, [this, id] { End(id); });
  return lasts;
}

bool Faults::IsWanted(const Episode& episode) const {
  if ((options_.without >> static_cast<int>(episode.kind)) & 1) return false;
  if (!options_.only_episodes.has_value()) return true;
  const std::vector<uint64_t>& only = *options_.only_episodes;
  return std::find(only.begin(), only.end(), episode.id) != only.end();
}

bool Faults::AimAtVictim(Episode* episode) {
  if (episode->kind == FaultKind::kPowerCut) {
    episode->processes = {1};  // And all others.
    return true;
  }
  const auto victims = std::count(is_victim_.begin(), is_victim_.end(), true);
  if (victims >= 2 || (victims == 1 && !episode->dice.Chance(kSecondVictimChance))) return false;
  const int process = AnyProcess(&episode->dice);
  if (is_victim_[process] || !cluster_->Process(process).ready()) return false;
  if (episode->kind == FaultKind::kAmnesia && !OthersHaveTheirDisks(process)) return false;
  episode->processes = {process};
  return true;
}

// Two disks that are lost before one of them is rebuilt are more than is promised (ADR 11).
bool Faults::OthersHaveTheirDisks(int process) {
  for (int other = 1; other <= cluster_->nodes(); ++other) {
    if (other == process || !is_replaced_[other]) continue;
    if (!cluster_->Process(other).ready() || !WasHealthy(other, world_->now())) return false;
    is_replaced_[other] = false;
  }
  return true;
}

bool Faults::Aim(Episode* episode) {
  Random& dice = episode->dice;
  const Traits traits = TraitsOf(episode->kind);
  const int processes = cluster_->processes();
  if (traits.makes_victim) {
    if (!AimAtVictim(episode)) return false;
  } else if (traits.of_disk || traits.of_link || traits.of_clock || options_.one_at_a_time ||
             dice.Chance(0.5)) {
    episode->processes = {AnyProcess(&dice)};
  }
  if (traits.of_disk && !cluster_->Process(episode->processes[0]).is_node()) return false;
  if (traits.of_clock && !cluster_->Process(episode->processes[0]).ready()) return false;
  // Messages of one process, or of one of its links.
  const bool may_be_link = episode->processes.size() == 1 && !traits.of_disk && !traits.of_clock &&
                           (!traits.makes_victim || episode->kind == FaultKind::kOneWayCut);
  if (traits.of_link || (may_be_link && dice.Chance(0.5))) {
    episode->other = AnyProcess(&dice);
    if (episode->other == episode->processes[0]) return false;
  }
  switch (episode->kind) {
    case FaultKind::kOneWayCut:
      episode->cuts = CutOneWay(episode->processes[0], episode->other, dice.Chance(0.5), processes);
      break;
    case FaultKind::kPartition: {
      // A side of two, now and then; the quorums within three owners may be cut.
      const int second = AnyProcess(&dice);
      if (second != episode->processes[0]) episode->processes.push_back(second);
      episode->cuts = CutBetween(episode->processes, processes);
      break;
    }
    case FaultKind::kIsolate:
      episode->cuts = CutBetween(episode->processes, processes);
      break;
    case FaultKind::kCutLinks:
      episode->cuts = CutPairs(&dice, processes);
      break;
    case FaultKind::kBridge:
      episode->cuts = CutBridge(&dice, processes);
      break;
    case FaultKind::kRing:
      episode->cuts = CutRing(&dice, processes);
      return !episode->cuts.empty();
    case FaultKind::kFullDisk:
      episode->length = Between(&dice, 200ms, 2s);
      break;
    case FaultKind::kPowerCut:
      episode->length = Between(&dice, 5ms, kPowerCutMax);
      break;
    case FaultKind::kAmnesia:
    case FaultKind::kOldDisk:
    case FaultKind::kCrash:
    case FaultKind::kTornWrite:
    case FaultKind::kSyncError:
    case FaultKind::kDrain:
      // Many come back at once, while what they had sent is still on its way.
      episode->length = dice.Chance(0.4) ? Between(&dice, 5ms, 100ms) : Between(&dice, 100ms, 6s);
      break;
    default:
      break;
  }
  return true;
}

bool Faults::Strike(const Episode& episode) {
  Random dice = episode.dice;
  const int number = episode.processes.empty() ? 0 : episode.processes[0];
  switch (episode.kind) {
    case FaultKind::kCrash: {
      const bool wait = cluster_->Process(number).is_node() && dice.Chance(kCrashWhenBusyChance);
      TakeDown(episode, wait ? Moment::kUnsynced : Moment::kAny);
      return true;
    }
    case FaultKind::kPowerCut:
      CutPower(episode);
      return true;
    case FaultKind::kTornWrite:
      TakeDown(episode, Moment::kInSyncOfSeveral);
      return true;
    case FaultKind::kSyncError:
      TakeDown(episode, Moment::kInSync);
      return true;
    case FaultKind::kAmnesia:
      TakeDown(episode, Moment::kAny);
      return true;
    case FaultKind::kOldDisk:
      PutBackLater(episode, Between(&dice, 500ms, kOldDiskAgeMax));
      return true;
    case FaultKind::kDrain:
      world_->Tell(absl::StrCat(cluster_->Process(number).name(), " is asked to end"));
      is_victim_[number] = true;
      unhealthy_until_[number] = kForever;
      cluster_->Process(number).Drain(episode.length);
      EndOfDrain(number, cluster_->Process(number).crashes());
      return true;
    case FaultKind::kHalfOpen:
      Note(episode, true);
      cluster_->net().HalfOpen(static_cast<uint16_t>(number), static_cast<uint16_t>(episode.other));
      return true;
    case FaultKind::kBitFlip: {
      SimDisk& disk = cluster_->Process(number).disk();
      const std::optional<SimDisk::Place> place = disk.PickPlace(&dice);
      if (!place.has_value()) return true;
      Note(episode, true);
      options_.on_copies_lost(OnlyCopiesOf(cluster_, number, place, nullptr));
      disk.Damage(*place, &dice);
      return true;
    }
    default:
      return false;
  }
}

void Faults::End(uint64_t id) {
  const auto found = std::find_if(episodes_.begin(), episodes_.end(),
                                  [&](const Episode& episode) { return episode.id == id; });
  if (found == episodes_.end()) return;
  const Episode episode = std::move(*found);
  episodes_.erase(found);
  if (TraitsOf(episode.kind).makes_victim) {
    for (const int process : episode.processes) is_victim_[process] = false;
  }
  if (episode.kind == FaultKind::kPause) {
    SimProcess& process = cluster_->Process(episode.processes[0]);
    if (process.paused()) process.Resume();
  }
  StopClock(episode);
  Note(episode, false);
  Apply();
}

// Cuts its links one by one during the first half of its time, heals them during the second.
void Faults::RunSwizzle(const Episode& episode) {
  Random dice = episode.dice;
  const Cuts links = CutPairs(&dice, cluster_->processes());
  AtEachLink(episode, links, Duration(0), [](Cuts* cuts, Cut cut) {
    cuts->push_back(cut);
    cuts->emplace_back(cut.second, cut.first);
  });
  HealOneByOne(episode, Shuffled(&dice, links));
}

// During the second half of its time.
void Faults::HealOneByOne(const Episode& episode, const Cuts& links) {
  AtEachLink(episode, links, episode.length / 2, [](Cuts* cuts, Cut cut) {
    std::erase(*cuts, cut);
    std::erase(*cuts, Cut(cut.second, cut.first));
  });
}

// `links` has each as its two directions, one after the other. All are changed within half of the
// episode's time.
void Faults::AtEachLink(const Episode& episode, const Cuts& links, Duration from,
                        std::function<void(Cuts*, Cut)> change) {
  const size_t steps = links.size() / 2;
  for (size_t i = 0; i < steps; ++i) {
    const Duration at =
        from + episode.length / 2 * static_cast<int64_t>(i) / static_cast<int64_t>(steps);
    world_->After(world_->loop(), at, [this, id = episode.id, change, cut = links[2 * i]] {
      for (Episode& running : episodes_) {
        if (running.id == id) change(&running.cuts, cut);
      }
      Apply();
    });
  }
}

// What it alone has taken must be on its disk, and what it says that it keeps for others most of
// all: so it goes down while it writes that, or late, where it writes nothing.
void Faults::CrashWhileCutOff(const Episode& episode) {
  const int number = episode.processes[0];
  world_->After(world_->loop(), episode.length / 8, [this, number, episode] {
    if (!cluster_->Process(number).is_node()) return;
    Random dice = episode.dice;
    const Duration delay = Between(&dice, 50us, 600us);
    cluster_->Process(number).disk().OnNextWrite(
        ColumnFamily::kHint, [this, number, episode, delay] {
          world_->After(world_->loop(), delay,
                        [this, number, episode] { CrashInIsolation(number, episode); });
        });
  });
  world_->After(world_->loop(), episode.length * 4 / 5,
                [this, number, episode] { CrashInIsolation(number, episode); });
}

void Faults::CrashInIsolation(int number, const Episode& episode) {
  SimProcess& process = cluster_->Process(number);
  const bool still = std::any_of(episodes_.begin(), episodes_.end(),
                                 [&](const Episode& running) { return running.id == episode.id; });
  if (process.is_node()) process.disk().OnNextWrite(ColumnFamily::kHint, {});
  if (healed_ || !still || !process.ready()) return;
  world_->Tell(absl::StrCat(process.name(), " crashes while it is cut off"));
  process.Crash();
  BringUp(number, episode);
}

void Faults::StartClock(Episode* episode) {
  if (!TraitsOf(episode->kind).of_clock) return;
  cluster_->NoteClocks();
  SimLoop* clock = cluster_->Process(episode->processes[0]).loop();
  const double sign = episode->dice.Chance(0.5) ? 1 : -1;
  if (episode->kind == FaultKind::kClockRate) {
    clock->SetRate(static_cast<int64_t>(sign * episode->strength * kRateMaxPpm));
  } else {
    // Most steps are small: the cube makes them so.
    const double size = std::pow(episode->strength, 3) * static_cast<double>(kStepMax.count());
    clock->StepWall(Duration(static_cast<int64_t>(sign * size)));
  }
  cluster_->NoteClocks();
}

// A clock that stepped stays as it is, until its process starts again.
void Faults::StopClock(const Episode& episode) {
  SimProcess* process =
      episode.kind == FaultKind::kClockRate ? &cluster_->Process(episode.processes[0]) : nullptr;
  if (process == nullptr || !process->up()) return;
  cluster_->NoteClocks();
  process->loop()->SetRate(0);
}

// A copy of the disk is made now, and takes its place when it is that old.
void Faults::PutBackLater(const Episode& episode, Duration age) {
  const int number = episode.processes[0];
  old_disks_[number] = cluster_->Process(number).disk().Snapshot();
  world_->After(world_->loop(), age, [this, episode] {
    const int number = episode.processes[0];
    const bool alone = std::count(is_victim_.begin(), is_victim_.end(), true) == 0;
    if (healed_ || !alone || !cluster_->Process(number).ready()) return;
    if (!OthersHaveTheirDisks(number)) return;
    TakeDown(episode, Moment::kAny);
  });
}

void Faults::TakeDown(const Episode& episode, Moment moment) {
  const int number = episode.processes[0];
  is_victim_[number] = true;
  unhealthy_until_[number] = kForever;
  TakeDownAt(moment, moment == Moment::kAny ? 0 : kBusyTries, episode);
}

void Faults::TakeDownAt(Moment moment, int tries, const Episode& episode) {
  const int number = episode.processes[0];
  SimProcess& process = cluster_->Process(number);
  if (healed_ || !process.up() || process.paused()) {
    BringUp(number, episode);
    return;
  }
  const bool now = moment == Moment::kAny ||
                   (moment == Moment::kUnsynced && process.disk().unsynced() > 0) ||
                   (moment == Moment::kInSync && process.disk().in_sync() > 0) ||
                   (moment == Moment::kInSyncOfSeveral && process.disk().in_sync() > 1);
  if (!now && tries > 0) {
    world_->After(world_->loop(), 100us,
                  [this, moment, tries, episode] { TakeDownAt(moment, tries - 1, episode); });
    return;
  }
  Random dice = episode.dice;
  const bool with_machine =
      episode.kind != FaultKind::kSyncError && dice.Chance(kMachineCrashChance);
  const CrashKind kind = with_machine ? CrashKind::kMachine : CrashKind::kProcess;
  world_->Tell(absl::StrFormat("%s crashes%s%s, for %.3f s", process.name(),
                               kind == CrashKind::kMachine ? " with its machine" : "",
                               episode.kind == FaultKind::kCrash
                                   ? ""
                                   : absl::StrCat(" (", std::string(ToString(episode.kind)), ")"),
                               ToSeconds(episode.length)));
  if (episode.kind == FaultKind::kTornWrite) process.disk().TearNext();
  process.Crash(kind);
  if (episode.kind == FaultKind::kAmnesia) {
    options_.on_copies_lost(OnlyCopiesOf(cluster_, number, std::nullopt, nullptr));
    process.disk().Wipe();
  } else if (episode.kind == FaultKind::kOldDisk) {
    const SimDisk::Image& image = *old_disks_[number];
    options_.on_copies_lost(OnlyCopiesOf(cluster_, number, std::nullopt, &image));
    process.disk().Restore(image);
    old_disk_until_ = world_->now() + episode.length + kRecovery;
  }
  const bool replaced = episode.kind == FaultKind::kAmnesia || episode.kind == FaultKind::kOldDisk;
  is_replaced_[number] = is_replaced_[number] || replaced;
  if (replaced && !options_.one_at_a_time && dice.Chance(kBackLinkByLinkChance)) {
    ComeBackLinkByLink(episode);
  }
  BringUp(number, episode);
}

// From its start on it reaches one after the other: those that could tell it that its disk is not
// what it was may come last.
void Faults::ComeBackLinkByLink(const Episode& gone) {
  Episode back{.id = gone.id, .kind = FaultKind::kIsolate, .dice = gone.dice};
  back.length = 2 * std::max<Duration>(gone.length, kBackMin);
  back.processes = gone.processes;
  back.cuts = CutBetween(back.processes, cluster_->processes());
  HealOneByOne(back, Shuffled(&back.dice, back.cuts));
  episodes_.push_back(std::move(back));
  Apply();
  world_->After(world_->loop(), episodes_.back().length, [this, id = gone.id] { End(id); });
}

void Faults::CutPower(const Episode& episode) {
  Random dice = episode.dice;
  const Duration delay = Between(&dice, 0ms, 3ms);
  // Of all that are told, the first one cuts it.
  auto cut = std::make_shared<bool>(false);
  auto at_first = [this, cut, episode](Duration wait) {
    if (std::exchange(*cut, true)) return;
    world_->After(world_->loop(), wait, [this, episode] { CutPowerNow(episode); });
  };
  for (int i = 1; i <= cluster_->nodes(); ++i) {
    cluster_->Node(i).disk().OnNextWrite(ColumnFamily::kHint,
                                         [at_first, delay] { at_first(delay); });
  }
  world_->After(world_->loop(), kHintWait, [at_first] { at_first(Duration(0)); });
}

void Faults::CutPowerNow(const Episode& episode) {
  // What the others remember of a disk they remember in memory (docs/adr/0013): both at once are
  // more than is promised.
  if (healed_ || world_->now() < old_disk_until_) return;
  world_->Tell(absl::StrFormat("the power goes, for %.3f s", ToSeconds(episode.length)));
  for (int i = 1; i <= cluster_->processes(); ++i) {
    SimProcess& process = cluster_->Process(i);
    if (!process.up()) continue;  // Whoever took it down brings it up.
    process.Crash(CrashKind::kMachine);
    is_victim_[i] = true;
    BringUp(i, episode);
  }
}

void Faults::BringUp(int number, const Episode& episode) {
  world_->After(world_->loop(), episode.length, [this, number] {
    is_victim_[number] = false;
    unhealthy_until_[number] = world_->now() + kRecovery;
    SimProcess& process = cluster_->Process(number);
    if (process.up()) return;
    world_->Tell(absl::StrCat(process.name(), " starts again"));
    process.Restart();
  });
}

void Faults::EndOfDrain(int number, int crashes) {
  const SimProcess& process = cluster_->Process(number);
  if (process.crashes() == crashes || !process.up()) {
    world_->After(world_->loop(), 50ms, [this, number, crashes] { EndOfDrain(number, crashes); });
    return;
  }
  is_victim_[number] = false;
  unhealthy_until_[number] = world_->now() + kRecovery;
}

PathConditions Faults::PathOf(uint16_t from, uint16_t to) const {
  PathConditions path = weather_;
  for (const Episode& episode : episodes_) {
    if (std::find(episode.cuts.begin(), episode.cuts.end(), Cut(from, to)) != episode.cuts.end()) {
      path.up = false;
    }
    const bool touched = episode.other != 0 ? episode.IsLink(from, to)
                                            : episode.Touches(from) || episode.Touches(to);
    if (!touched) continue;
    const Duration late(static_cast<int64_t>(episode.strength * 200e6));
    switch (episode.kind) {
      case FaultKind::kDelay:
        path.delay += late;
        path.jitter += late;
        break;
      case FaultKind::kReorder:
        path.reorder = std::max(path.reorder, episode.strength * 0.5);
        break;
      case FaultKind::kDuplicate:
        path.duplicate = std::max(path.duplicate, episode.strength * 0.5);
        break;
      case FaultKind::kLoss:
        path.loss = std::max(path.loss, episode.strength * 0.2);
        break;
      case FaultKind::kSlowLink:
        path.delay += 5 * late;  // Up to 1 s, and 2-40 kB a second.
        path.bytes_per_second = static_cast<uint64_t>(2000 / episode.strength);
        break;
      default:
        break;
    }
  }
  return path;
}

void Faults::Apply() {
  const auto processes = static_cast<uint16_t>(cluster_->processes());
  for (uint16_t from = 1; from <= processes; ++from) {
    for (uint16_t to = 1; to <= processes; ++to) {
      if (from != to) cluster_->net().SetPath(from, to, PathOf(from, to));
    }
  }
  for (int i = 1; i <= cluster_->nodes(); ++i) {
    DiskConditions disk;
    for (const Episode& episode : episodes_) {
      if (!TraitsOf(episode.kind).of_disk || !episode.Touches(static_cast<uint16_t>(i))) continue;
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
  auto name = [&](int process) { return cluster_->Process(process).name(); };
  const std::string whom =
      episode.processes.empty()
          ? "everybody"
          : absl::StrJoin(episode.processes, " and ", [&](std::string* out, int process) {
              absl::StrAppend(out, name(process));
            });
  std::string detail;
  if (episode.other != 0) absl::StrAppend(&detail, ", to ", name(episode.other));
  if (!episode.cuts.empty()) {
    absl::StrAppend(&detail,
                    ", cut: ", absl::StrJoin(episode.cuts, " ", [](std::string* out, Cut cut) {
                      absl::StrAppend(out, cut.first, ">", cut.second);
                    }));
  } else if (!TraitsOf(episode.kind).makes_victim) {
    absl::StrAppend(&detail, absl::StrFormat(", strength %.2f", episode.strength));
  }
  world_->Tell(absl::StrFormat("%s %s: %s%s", begins ? "begins" : "ends", ToString(episode.kind),
                               whom, begins ? detail : ""));
}

}  // namespace annulus::sim
