#include "sim/workload.h"

#include <algorithm>
#include <climits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/checksum.h"
#include "task/sleep.h"

namespace annulus::sim {

namespace {

constexpr char kBucket[] = "default";
constexpr char kFolder[] = "folder";
constexpr double kBatchChance = 0.04;
constexpr double kScanChance = 0.008;
constexpr double kRetryChance = 0.3;
constexpr int kAttemptsMax = 3;
// How long before a request its process has to be healthy, for promise 5; and the time it has.
constexpr Duration kHealthyBefore = 8s;
constexpr Duration kGenerous = 10s;
// What most requests have, and what some.
constexpr Duration kLongMin = 500ms;
constexpr Duration kLongMax = 3s;
constexpr Duration kShortMin = 20ms;
constexpr Duration kShortMax = 300ms;
constexpr Duration kRefusedWait = 20ms;
constexpr Duration kRefusedWaitMax = 1s;
constexpr double kTidyChance = 0.8;
constexpr Duration kTidyAgainMax = 8s;
constexpr Duration kTtlMin = 1s;
constexpr Duration kTtlMax = 15s;

Duration Between(Random* random, Duration low, Duration high) {
  return Duration(random->Between(low.count(), high.count()));
}

}  // namespace

Workload::Workload(Cluster* cluster, const Faults* faults, History* history,
                   WorkloadOptions options)
    : cluster_(cluster),
      faults_(faults),
      world_(&cluster->world()),
      history_(history),
      options_(options),
      line_(cluster),
      random_(world_->random().Fork()) {
  line_.set_answer_loss(options.answer_loss);
  one_chance_ = random_.Fraction() * 0.4;
  all_chance_ = random_.Fraction() * 0.4;
  sloppy_chance_ = random_.Fraction();
  // Who waits for all waits long, so that rounds of reaping end meanwhile.
  if (options.deleting) all_chance_ = 0.3 + all_chance_;
  for (int i = 0; i < options.keys; ++i) {
    static constexpr Use kUses[] = {Use::kCounter, Use::kRegister, Use::kDocument, Use::kFolder,
                                    Use::kSession, Use::kCounter,  Use::kWiped,    Use::kRegister,
                                    Use::kFolder,  Use::kDocument};
    static constexpr Use kDeletedUses[] = {Use::kDocument, Use::kWiped,    Use::kDocument,
                                           Use::kSession,  Use::kCounter,  Use::kDocument,
                                           Use::kWiped,    Use::kRegister, Use::kFolder};
    const Use use = options.deleting
                        ? kDeletedUses[static_cast<size_t>(i) % std::size(kDeletedUses)]
                        : kUses[static_cast<size_t>(i) % std::size(kUses)];
    static constexpr const char* kNames[] = {"counter", "register", "document",
                                             "wiped",   "session",  kFolder};
    Item item{.bucket = kBucket, .key = kNames[static_cast<int>(use)]};
    if (use == Use::kFolder) {
      item.sort_key = absl::StrCat("part-", i);
    } else {
      absl::StrAppend(&item.key, "-", i);
    }
    uses_.push_back(use);
    // Around the size up to which replicas send whole records, and above it.
    const double small = options.deleting ? 0.4 : 0.8;  // Of large ones digests are compared.
    value_size_min_.push_back(random_.Chance(small) ? 0 : random_.Chance(0.5) ? 1500 : 5000);
    // The hottest stays, so that there is always one.
    const bool retires = i > 0 && random_.Chance(options.retired);
    const auto share = static_cast<uint64_t>(options.operations) * 8 / 10;
    retired_at_.push_back(retires ? static_cast<int>(random_.Below(share) + share / 8) : INT_MAX);
    history_->AddKey(std::move(item), use == Use::kCounter);
  }
  tidied_.resize(uses_.size(), false);
  for (int i = 0; i < options.clients; ++i) {
    ClientState& client = clients_.emplace_back();
    client.number = static_cast<uint32_t>(i + 1);
    client.random = random_.Fork();
    client.held.resize(options.keys);
    client.favourite = 1 + static_cast<int>(client.random.Below(cluster->processes()));
    client.is_loyal = !options.at_quorum && client.random.Chance(options.loyal);
    client.left = options.operations / options.clients + 1;
  }
}

void Workload::Start() {
  for (ClientState& client : clients_) {
    ++running_;
    world_->loop()->Post([this, &client] { tasks_.Spawn(RunClient(&client)); });
  }
}

Task<void> Workload::RunClient(ClientState* client) {
  while (client->left > 0) {
    const Duration think = ThinkTime(client);
    co_await SleepUntil(world_->loop(), std::max(world_->now() + think, rest_until_));
    if (const std::optional<uint32_t> retired = NextToTidy(); retired.has_value()) {
      co_await TidyUp(client, *retired);
      continue;
    }
    const double dice = client->random.Fraction();
    if (dice < kBatchChance && options_.keys > 1) {
      co_await RunBatch(client);
    } else if (dice < kBatchChance + kScanChance) {
      co_await RunScan(client);
    } else {
      const uint32_t key = PickKey(client);
      co_await RunOne(client, key);
    }
  }
  --running_;
}

Duration Workload::ThinkTime(ClientState* client) {
  const Duration limit = client->random.Chance(options_.think_long_chance) ? options_.think_long
                                                                           : options_.think_short;
  Duration wait(static_cast<int64_t>(client->random.Below(limit.count())));
  // The first refusal sends it to another process, not to bed.
  if (client->refusals > 1) {
    wait += std::min(kRefusedWaitMax, kRefusedWait * (1 << std::min(client->refusals, 10)));
  }
  return wait;
}

void Workload::TakeStatus(ClientState* client, const absl::Status& status) {
  const std::string reason = DetailsOf(status).reason;
  const bool refused = reason == "NOT_SENT" || reason == "NOT_READY" || reason == "DRAINING";
  client->refusals = refused ? client->refusals + 1 : 0;
  if (status.ok() || client->is_loyal) return;
  client->favourite = 1 + static_cast<int>(client->random.Below(cluster_->processes()));
}

std::optional<uint32_t> Workload::NextToTidy() {
  for (uint32_t key = 0; key < uses_.size(); ++key) {
    if (tidied_[key] || !IsRetired(key)) continue;
    tidied_[key] = true;
    const bool deletes =
        uses_[key] == Use::kDocument || uses_[key] == Use::kSession || uses_[key] == Use::kWiped;
    if (deletes && random_.Chance(kTidyChance)) return key;
  }
  return std::nullopt;
}

Task<void> Workload::TidyUp(ClientState* client, uint32_t key) {
  co_await Get(client, key);
  co_await Write(client, key, WriteOp::Kind::kDelete, true);
  // Some owner may have met the first and miss the second.
  const Duration later(static_cast<int64_t>(client->random.Below(kTidyAgainMax.count())));
  co_await SleepUntil(world_->loop(), world_->now() + later);
  co_await Write(client, key, WriteOp::Kind::kDelete, true);
}

void Workload::CountOne(ClientState* client) {
  --client->left;
  const int part = options_.operations / (options_.lulls + 1) + 1;
  if (++counted_ % part != 0) return;
  rest_until_ = world_->now() + options_.lull;
  world_->Tell("the clients rest");
}

uint32_t Workload::PickKey(ClientState* client) {
  // The smaller of two draws: the first items are hot.
  const auto keys = static_cast<uint64_t>(options_.keys);
  uint32_t key;
  do {
    key = static_cast<uint32_t>(std::min(client->random.Below(keys), client->random.Below(keys)));
  } while (IsRetired(key));
  return key;
}

int Workload::PickProcess(ClientState* client) {
  if (!client->is_loyal && client->random.Chance(0.2)) {
    client->favourite = 1 + static_cast<int>(client->random.Below(cluster_->processes()));
  }
  return client->favourite;
}

ReplicaCount Workload::PickCount(Random* random, uint32_t* number) {
  const uint32_t n = history_->replicas();
  double dice = random->Fraction();
  if (options_.at_quorum) dice = 1;
  Consistency level = Consistency::kQuorum;
  *number = n / 2 + 1;
  if (dice < one_chance_) {
    level = Consistency::kOne;
    *number = 1;
  } else if (dice < one_chance_ + all_chance_) {
    level = Consistency::kAll;
    *number = n;
  }
  if (random->Chance(0.1)) return {.number = *number};
  return {.level = level};
}

ReplicaCount Workload::PickWriteCount(ClientState* client, uint32_t* number) {
  if (!client->is_loyal) return PickCount(&client->random, number);
  *number = 1;
  return {.level = Consistency::kOne};
}

Duration Workload::PickTimeout(ClientState* client) {
  Random* random = &client->random;
  if (options_.at_quorum) return kGenerous;
  const bool is_short = random->Chance(client->is_loyal ? 0.8 : 0.1);
  return is_short ? Between(random, kShortMin, kShortMax) : Between(random, kLongMin, kLongMax);
}

Task<void> Workload::RunOne(ClientState* client, uint32_t key) {
  using Kind = WriteOp::Kind;
  Random& random = client->random;
  const double dice = random.Fraction();
  switch (uses_[key]) {
    case Use::kCounter:
      co_await Get(client, key);
      // A second look, sometimes, instead of a write.
      if (dice < 0.85) co_await Write(client, key, Kind::kPut, true);
      break;
    case Use::kRegister:
    case Use::kFolder:
      if (dice < 0.20) {
        co_await Get(client, key);
      } else if (dice < 0.35) {
        co_await Get(client, key, true);
      } else if (dice < 0.60) {
        co_await Get(client, key);
        co_await Write(client, key, Kind::kPut, true);
      } else if (dice < 0.85) {
        co_await Write(client, key, Kind::kPut, true);  // Over what it holds, however old.
      } else {
        co_await Write(client, key, Kind::kPut, false);
      }
      break;
    case Use::kDocument:
    case Use::kSession:
    case Use::kWiped:
      if (dice < 0.15) {
        co_await Get(client, key);
      } else if (dice < 0.30) {
        co_await Get(client, key, true);
      } else if (dice < 0.55) {
        co_await Get(client, key);
        co_await Write(client, key, Kind::kDelete, true);
        if (random.Chance(0.5)) co_await Write(client, key, Kind::kPut, true);
      } else if (dice < 0.70) {
        co_await Write(client, key, Kind::kPut, false);
      } else if (dice < 0.85 || uses_[key] != Use::kWiped) {
        co_await Write(client, key, Kind::kPut, true);
      } else {
        co_await Write(client, key, Kind::kBlindDelete, false);
      }
      break;
  }
}

Task<void> Workload::RunBatch(ClientState* client) {
  // Each on an item of its own, as what the client holds of an item has one owner at a time.
  struct Part {
    static Task<void> Run(Workload* workload, ClientState* client, uint32_t key,
                          Mailbox<int>::Sender done) {
      co_await workload->RunOne(client, key);
      done.Deliver(1);
    }
  };
  Mailbox<int> done(world_->loop());
  const int size = static_cast<int>(client->random.Between(2, std::min(6, options_.keys)));
  const auto first = static_cast<uint32_t>(client->random.Below(options_.keys));
  int running = 0;
  for (int i = 0; i < size; ++i) {
    const uint32_t key = (first + static_cast<uint32_t>(i)) % static_cast<uint32_t>(options_.keys);
    if (IsRetired(key)) continue;
    ++running;
    Mailbox<int>::Sender sender = done.sender();
    tasks_.Spawn(Part::Run(this, client, key, std::move(sender)));
  }
  for (; running > 0; --running) co_await done.Next();
}

Task<void> Workload::Get(ClientState* client, uint32_t key, bool at_least) {
  CountOne(client);
  const size_t index = history_->NewRead(client->number, key, world_->now());
  const int process = PickProcess(client);
  uint32_t r = 0;
  GetRequest request{.item = history_->keys()[key].item, .r = PickCount(&client->random, &r)};
  const Duration timeout = PickTimeout(client);
  history_->read(index).process = static_cast<uint16_t>(process);
  request.sloppy = client->random.Chance(sloppy_chance_);
  history_->read(index).sloppy = request.sloppy;
  if (at_least && !options_.at_quorum) {
    request.at_least = client->held[key].context;
    history_->read(index).at_least = client->held[key].covers;
  }
  absl::StatusOr<GetAnswer> answer = co_await line_.Get(process, std::move(request), timeout);
  TakeAnswer(index, r, answer);
  const Instant asked = history_->read(index).invoked;
  history_->read(index).unserved = Unserved(process, asked, answer.status());
  TakeStatus(client, answer.status());
  if (!answer.ok()) co_return;
  const ReadOp& read = history_->read(index);
  client->held[key] = {.context = answer->context, .covers = read.shown, .elements = read.elements};
}

void Workload::TakeAnswer(size_t read_index, uint32_t r, const absl::StatusOr<GetAnswer>& answer) {
  ReadOp& read = history_->read(read_index);
  read.returned = world_->now();
  read.r = r;
  read.ok = answer.ok();
  if (!answer.ok()) {
    read.code = answer.status().code();
    read.error = answer.status().ToString(absl::StatusToStringMode::kWithNoExtraData);
    return;
  }
  read.more = answer->more;
  for (const ShownSibling& sibling : answer->siblings) history_->Show(&read, sibling.value);
}

std::string Workload::Unserved(int process, Instant asked, const absl::Status& status) {
  if (faults_ == nullptr || !faults_->one_at_a_time() || !options_.at_quorum) return "";
  if (!faults_->WasHealthy(process, asked - kHealthyBefore)) return "";
  history_->NotePromised();
  if (status.ok()) return "";
  const std::string reason = DetailsOf(status).reason;
  if (reason == "TOO_MANY_SIBLINGS" || reason == "RECORD_TOO_LARGE") return "";
  return absl::StrCat("asked at ", cluster_->Process(process).name(), ": ",
                      status.ToString(absl::StatusToStringMode::kWithNoExtraData));
}

Task<void> Workload::Write(ClientState* client, uint32_t key, WriteOp::Kind kind,
                           bool with_context) {
  Held& held = client->held[key];
  // A delete needs a context; who holds none has nothing to delete.
  if (kind == WriteOp::Kind::kDelete && held.context.empty()) co_return;
  CountOne(client);
  with_context = with_context && !held.context.empty();
  uint32_t w = 0;
  const ReplicaCount count = PickWriteCount(client, &w);
  WriteId id = 0;
  WriteRequest request{.item = history_->keys()[key].item,
                       .w = count,
                       .sloppy = client->is_loyal || client->random.Chance(sloppy_chance_)};
  std::vector<WriteId> elements;
  {
    WriteOp& write = history_->NewWrite(client->number, key, kind, world_->now());
    id = write.id;
    write.w = w;
    if (with_context) write.covers = held.covers;
    if (kind == WriteOp::Kind::kPut) {
      if (history_->keys()[key].is_counter) {
        if (with_context) elements = held.elements;
        elements.push_back(id);
      }
      request.value = History::ValueOf(id, elements, value_size_min_[key]);
      write.value_hash = Hash64(request.value);
      if (uses_[key] == Use::kSession) {
        request.ttl_ms =
            static_cast<uint64_t>(client->random.Between(kTtlMin / 1ms, kTtlMax / 1ms));
        write.ttl = static_cast<int64_t>(request.ttl_ms) * Duration(1ms);
      }
    }
  }
  request.is_delete = kind != WriteOp::Kind::kPut;
  request.blind_delete = kind == WriteOp::Kind::kBlindDelete;
  if (with_context) request.context = held.context;
  request.request_id = History::RequestIdOf(id);

  // An unknown attempt leaves the whole write unknown, whatever a later attempt says but for
  // success.
  Outcome outcome = Outcome::kNotApplied;
  for (int attempt = 1;; ++attempt) {
    const int process = PickProcess(client);
    history_->write(id).process = static_cast<uint16_t>(process);
    history_->write(id).attempts = static_cast<uint16_t>(attempt);
    const Duration timeout = PickTimeout(client);
    const Instant asked = world_->now();
    WriteRequest copy = request;
    absl::StatusOr<WriteAnswer> answer = co_await line_.Write(process, std::move(copy), timeout);
    WriteOp& write = history_->write(id);
    const std::string unserved = Unserved(process, asked, answer.status());
    if (write.unserved.empty()) write.unserved = unserved;
    TakeStatus(client, answer.status());
    if (answer.ok()) {
      write.outcome = Outcome::kApplied;
      write.returned = world_->now();
      write.acks = answer->acks.primaries + answer->acks.fallbacks;
      write.primaries = answer->acks.primaries;
      write.code = absl::StatusCode::kOk;
      write.error.clear();
      write.known = cluster_->OpenContext(history_->keys()[key].item, answer->context);
      Held& now_held = client->held[key];
      now_held.context = answer->context;
      if (kind == WriteOp::Kind::kPut) {
        now_held.covers = {id};
        now_held.elements = std::move(elements);
      } else {
        now_held.covers.clear();
      }
      co_return;
    }
    const ErrorDetails details = DetailsOf(answer.status());
    if (details.outcome == Outcome::kNone) {
      outcome = Outcome::kNone;
    } else if (details.outcome != Outcome::kNotApplied && outcome != Outcome::kNone) {
      outcome = Outcome::kUnknown;
    }
    write.code = answer.status().code();
    write.error = answer.status().ToString(absl::StatusToStringMode::kWithNoExtraData);
    if (attempt >= kAttemptsMax || outcome == Outcome::kNone ||
        !client->random.Chance(kRetryChance)) {
      write.outcome = outcome;
      write.returned = world_->now();
      if (world_->keeps_story()) {
        world_->Tell(absl::StrFormat("  client %d: %s v%d of %s at %s ends as %s: %s",
                                     client->number, ToString(kind), id, history_->NameOf(key),
                                     cluster_->Process(process).name(), ToString(outcome),
                                     write.error));
      }
      co_return;
    }
  }
}

Task<void> Workload::RunScan(ClientState* client) {
  CountOne(client);
  const Instant invoked = world_->now();
  const int process = PickProcess(client);
  uint32_t r = 0;
  ScanRequest request{.bucket = kBucket, .values = true, .r = PickCount(&client->random, &r)};
  request.limit = client->random.Chance(0.5) ? 0 : 1 + client->random.Below(10);
  if (client->random.Chance(0.3)) request.key = kFolder;
  std::vector<ScanItem> items;
  do {
    ScanRequest page_request = request;
    absl::StatusOr<ScanPage> page = co_await line_.Scan(process, std::move(page_request), 3s);
    if (!page.ok()) {
      history_->NoteScan(false);
      co_return;
    }
    request.page_token = page->page_token;
    for (ScanItem& item : page->items) items.push_back(std::move(item));
  } while (!request.page_token.empty());

  history_->NoteScan(true);

  // It is a read of every item, by its own rules: what it does not list, shows nothing.
  for (uint32_t key = 0; key < history_->keys().size(); ++key) {
    if (!request.key.empty() && history_->keys()[key].item.key != request.key) continue;
    const size_t index = history_->NewRead(client->number, key, invoked);
    ReadOp& read = history_->read(index);
    read.process = static_cast<uint16_t>(process);
    read.r = r;
    read.of_scan = true;
    read.ok = true;
    read.returned = world_->now();
    int listed = 0;
    for (const ScanItem& item : items) {
      if (item.item != history_->keys()[key].item) continue;
      ++listed;
      for (const ShownSibling& sibling : item.answer.siblings) {
        history_->Show(&read, sibling.value);
      }
    }
    if (listed > 1) read.strange.push_back(absl::StrCat("a scan lists it ", listed, " times"));
  }
}

Task<void> Workload::FinalRead(uint32_t key, Instant until) {
  for (;;) {
    const size_t index = history_->NewRead(0, key, world_->now());
    history_->read(index).final = true;
    const int process = 1 + static_cast<int>(random_.Below(cluster_->processes()));
    history_->read(index).process = static_cast<uint16_t>(process);
    GetRequest request{
        .item = history_->keys()[key].item, .r = {.level = Consistency::kAll}, .sloppy = false};
    absl::StatusOr<GetAnswer> answer = co_await line_.Get(process, std::move(request), 5s);
    TakeAnswer(index, history_->replicas(), answer);
    if (answer.ok()) break;
    if (world_->now() >= until) break;
    history_->read(index).final = false;  // Tried again.
    co_await Sleep(world_->loop(), 200ms);
  }
  --running_;
}

void Workload::ReadAllOwners(Duration patience) {
  line_.set_answer_loss(0);
  const Instant until = world_->now() + patience;
  for (uint32_t key = 0; key < history_->keys().size(); ++key) {
    ++running_;
    tasks_.Spawn(FinalRead(key, until));
  }
  world_->RunUntil([this] { return running_ == 0; }, patience + 10s);
}

}  // namespace annulus::sim
