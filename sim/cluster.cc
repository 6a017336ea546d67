#include "sim/cluster.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/checksum.h"
#include "core/error.h"
#include "core/ring/ring.h"
#include "env/env.h"
#include "task/sleep.h"

namespace annulus::sim {

namespace {

constexpr char kClusterName[] = "simulated";
constexpr char kSecret[] = "a secret of the simulated cluster";
constexpr Duration kClientLatencyMin = 100us;
constexpr Duration kClientLatencySpread = 400us;
// How long before a client that was refused asks again is its own affair; this is the refusal.
constexpr Duration kRefusalTime = 300us;
constexpr Duration kDrainLook = 5ms;

// What a client is told by its own side of a connection.
absl::Status ClientError(absl::Status status, const char* reason, Outcome outcome) {
  return WithDetails(std::move(status), {.reason = reason, .outcome = outcome});
}

}  // namespace

SimProcess::SimProcess(Cluster* cluster, uint16_t index, std::string name, bool is_node)
    : cluster_(cluster), index_(index), name_(std::move(name)) {
  if (is_node) {
    disk_ = std::make_unique<SimDisk>(cluster->world_, index, cluster->options_.sync);
  }
}

bool SimProcess::ready() const {
  return loop_ != nullptr && !loop_->paused() && node_ != nullptr && node_->Status().ready;
}

std::string SimProcess::address() const {
  return absl::StrCat(name_, is_copy_ ? "-copy" : "",
                      moves_ == 0 ? "" : absl::StrCat("-moved-", moves_), ":50052");
}

void SimProcess::RestartElsewhere() {
  ++moves_;
  Restart();
}

void SimProcess::RestartAsCopyOf(const SimProcess& original) {
  disk_->Restore(*original.disk_->Snapshot());
  name_ = original.name_;
  is_copy_ = true;
  Restart();
}

void SimProcess::Restart() {
  ANNULUS_CHECK(!up());
  World* world = cluster_->world_;
  Random& chance = world->random();
  ClockSkew skew;
  if (cluster_->options_.skewed_clocks) {
    skew.boot = Duration(chance.Between(0, 1000000000000));
    skew.rate_ppm = chance.Between(-200, 200);
    skew.wall_offset = Duration(chance.Between(-500000000, 500000000));
  }
  loop_ = world->NewLoop(index_, skew);
  random_ = std::make_unique<Random>(chance.Next());
  transport_ = cluster_->net_.Attach(loop_, address());
  if (is_node()) storage_ = disk_->Open(loop_);
  tasks_ = std::make_unique<TaskGroup>();
  world->Trace(TraceKind::kProcess, index_, 1);
  // On its own loop, like everything of a process.
  loop_->Post([this] { tasks_->Spawn(Start()); });
}

Task<void> SimProcess::Start() {
  const Env env{.loop = loop_,
                .clock = loop_,
                .transport = transport_.get(),
                .storage = storage_.get(),
                .random = random_.get()};
  EventSink events = [this](std::string_view event, std::string_view detail) {
    cluster_->world_->Tell(absl::StrFormat("  %s: %s %s", name_, event, detail));
    unsigned partition = 0;
    if (event == "set_aside" &&
        std::sscanf(std::string(detail).c_str(), "partition %u", &partition) == 1) {
      cluster_->on_set_aside_(index_, PartitionId(partition));
    }
  };
  absl::StatusOr<std::unique_ptr<annulus::Node>> started =
      co_await annulus::Node::Start(env, cluster_->OptionsOf(*this), std::move(events));
  if (!started.ok()) {
    cluster_->world_->Tell(
        absl::StrFormat("  %s does not start: %s", name_, started.status().ToString()));
    // A supervisor would try again.
    SimLoop* loop = loop_;
    cluster_->world_->After(cluster_->world_->loop(), 500ms, [this, loop] {
      if (loop_ != loop) return;
      Crash();
      Restart();
    });
    co_return;
  }
  node_ = *std::move(started);
  cluster_->world_->Trace(TraceKind::kProcess, index_, 2, node_->incarnation().value());
}

void SimProcess::Crash(CrashKind kind) {
  ANNULUS_CHECK(up());
  cluster_->NoteClocks();
  World* world = cluster_->world_;
  ++crashes_;
  world->Trace(TraceKind::kProcess, index_, 3);
  if (kind == CrashKind::kMachine) transport_->DieSilently();
  std::map<uint64_t, absl::AnyInvocable<void(absl::Status)>> waiting = std::exchange(waiting_, {});
  if (node_ != nullptr) past_.push_back(node_->Status());
  // First the loop: from here on nothing of the process runs, whatever its parts do as they go.
  loop_->Kill();
  node_.reset();
  tasks_.reset();
  storage_.reset();
  transport_.reset();
  random_.reset();
  loop_ = nullptr;
  if (kind == CrashKind::kMachine) return;  // Its clients meet their own timeouts.
  for (auto& [call, tell] : waiting) {
    world->After(world->loop(), kClientLatencyMin, [tell = std::move(tell)]() mutable {
      tell(ClientError(absl::UnavailableError("the connection broke"), "LINK_LOST",
                       Outcome::kUnknown));
    });
  }
}

std::vector<StatusView> SimProcess::Lives() const {
  std::vector<StatusView> lives = past_;
  if (node_ != nullptr) lives.push_back(node_->Status());
  return lives;
}

void SimProcess::Pause() {
  ANNULUS_CHECK(up() && !loop_->paused());
  cluster_->world_->Trace(TraceKind::kProcess, index_, 4);
  loop_->Pause();
  transport_->NotePause();
}

void SimProcess::Resume() {
  ANNULUS_CHECK(paused());
  cluster_->world_->Trace(TraceKind::kProcess, index_, 5);
  loop_->Resume();
  transport_->NoteResume();
}

void SimProcess::Drain(Duration down_for) {
  ANNULUS_CHECK(ready());
  node_->Drain();
  EndWhenIdle(loop_, cluster_->world_->now() + kDrainMax, down_for);
}

void SimProcess::EndWhenIdle(SimLoop* loop, Instant until, Duration down_for) {
  World* world = cluster_->world_;
  if (loop_ != loop) return;
  if (paused() || (node_->busy() > 0 && world->now() < until)) {
    world->After(world->loop(), kDrainLook,
                 [this, loop, until, down_for] { EndWhenIdle(loop, until, down_for); });
    return;
  }
  world->Tell(absl::StrFormat("%s has ended, for %.3f s", name_, ToSeconds(down_for)));
  Crash();
  world->After(world->loop(), down_for, [this] {
    if (!up()) Restart();
  });
}

Cluster::Cluster(World* world, ClusterOptions options)
    : world_(world),
      options_(options),
      net_(world, static_cast<uint16_t>(options.nodes + options.coordinators + 2)),
      tokens_(*TokenKeys::Create({kSecret})) {
  for (int i = 1; i <= options.nodes; ++i) {
    processes_.emplace_back(
        new SimProcess(this, static_cast<uint16_t>(i), absl::StrCat("node-", i), true));
  }
  for (int i = 1; i <= options.coordinators; ++i) {
    processes_.emplace_back(new SimProcess(this, static_cast<uint16_t>(options.nodes + i),
                                           absl::StrCat("coordinator-", i), false));
  }
  for (const std::unique_ptr<SimProcess>& process : processes_) process->Restart();
}

SimProcess& Cluster::Stranger() {
  if (stranger_ == nullptr) {
    stranger_.reset(new SimProcess(this, static_cast<uint16_t>(processes_.size() + 1), "stranger",
                                   /*is_node=*/true));
  }
  return *stranger_;
}

Cluster::~Cluster() {
  for (const std::unique_ptr<SimProcess>& process : processes_) {
    if (process->up()) process->Crash(CrashKind::kMachine);
  }
  if (stranger_ != nullptr && stranger_->up()) stranger_->Crash(CrashKind::kMachine);
  // Jobs of the world's own loop may hold messages of this network.
  world_->loop()->Kill();
}

NodeOptions Cluster::OptionsOf(const SimProcess& process) const {
  NodeOptions options;
  options.cluster = kClusterName;
  options.name = process.name();
  options.peer_address = process.address();
  options.client_address = process.name() + ":50051";
  for (int i = 1; i <= options_.nodes; ++i) {
    const std::string name = absl::StrCat("node-", i);
    options.seeds.push_back({.name = name, .peer_address = name + ":50052"});
  }
  options.partitions = options_.partitions;
  options.replicas = options_.replicas;
  options.secrets = {kSecret};
  options.silence_max = options_.silence_max;
  options.limits.siblings_max = options_.siblings_max;
  options.repair_interval = options_.repair_interval;
  options.scrub_interval = options_.scrub_interval;
  options.reap_interval = options_.reap_interval;
  options.clock_skew_max = options_.clock_skew_max;
  options.admission.operations_max = options_.operations_max;
  options.hint_limits.bytes_max = options_.hint_bytes_max;
  options.record_cache_bytes = options_.record_cache_bytes;
  return options;
}

VersionVector Cluster::OpenContext(const Item& item, const Bytes& context) const {
  absl::StatusOr<VersionVector> vector = tokens_.OpenContext(item, context);
  ANNULUS_CHECK(vector.ok());
  return *std::move(vector);
}

SimProcess* Cluster::Find(const std::string& name) {
  auto found = std::find_if(processes_.begin(), processes_.end(),
                            [&](const auto& process) { return process->name() == name; });
  ANNULUS_CHECK(found != processes_.end());
  return found->get();
}

void Cluster::NoteClocks() {
  for (const std::unique_ptr<SimProcess>& process : processes_) {
    if (!process->up()) continue;
    const Duration error = process->loop()->WallError();
    wall_error_max_ = std::max(wall_error_max_, std::max(error, -error));
  }
}

bool Cluster::WaitReady(Duration limit) {
  auto ready = [&] {
    return std::all_of(processes_.begin(), processes_.end(),
                       [](const auto& process) { return process->ready(); });
  };
  // Looked at now and then: asking a node for its status costs more than an event.
  const Instant until = world_->now() + limit;
  while (!ready()) {
    if (world_->now() >= until) return false;
    world_->RunFor(10ms);
  }
  return true;
}

const Layout* Cluster::AnyLayout() const {
  const Layout* layout = nullptr;
  for (const std::unique_ptr<SimProcess>& process : processes_) {
    if (process->ready()) layout = process->node()->layout();
  }
  return layout;
}

const Layout& Cluster::SomeLayout() const {
  const Layout* layout = AnyLayout();
  ANNULUS_CHECK(layout != nullptr);
  return *layout;
}

int Cluster::NumberOf(NodeId id) const {
  const Member* member = SomeLayout().FindMember(id);
  for (const std::unique_ptr<SimProcess>& process : processes_) {
    if (member != nullptr && process->name() == member->name) return process->index();
  }
  return 0;
}

std::vector<int> Cluster::OwnersOf(const Item& item) const {
  const Layout& layout = SomeLayout();
  std::vector<int> owners;
  for (const NodeId id :
       layout.Owners(PartitionOf(RingHash(item.bucket, item.key), layout.partitions()))) {
    owners.push_back(NumberOf(id));
  }
  return owners;
}

ClientLine::ClientLine(Cluster* cluster)
    : cluster_(cluster), random_(cluster->world().random().Fork()) {}

Duration ClientLine::Latency() {
  return kClientLatencyMin +
         Duration(static_cast<int64_t>(random_.Below(kClientLatencySpread.count())));
}

namespace {

// One operation of each kind at a node.
Task<absl::StatusOr<WriteAnswer>> RunAt(Node* node, WriteRequest request, Instant deadline) {
  return node->Write(std::move(request), deadline);
}
Task<absl::StatusOr<GetAnswer>> RunAt(Node* node, GetRequest request, Instant deadline) {
  return node->Get(std::move(request), deadline);
}
Task<absl::StatusOr<ScanPage>> RunAt(Node* node, ScanRequest request, Instant deadline) {
  return node->Scan(std::move(request), deadline);
}

uint64_t HashOf(const WriteRequest& request) {
  return Hash64(request.item.key) ^ Hash64(request.value) * 3 ^ Hash64(request.context) * 5 ^
         Hash64(request.request_id) * 7;
}
uint64_t HashOf(const GetRequest& request) {
  return Hash64(request.item.key) ^ Hash64(request.at_least) * 3;
}
uint64_t HashOf(const ScanRequest& request) { return Hash64(request.page_token); }

uint64_t HashOf(const WriteAnswer& answer) { return Hash64(answer.context); }
uint64_t HashOf(const GetAnswer& answer) {
  uint64_t h = Hash64(answer.context);
  for (const ShownSibling& sibling : answer.siblings) h = h * 31 + Hash64(sibling.value);
  return h;
}
uint64_t HashOf(const ScanPage& page) {
  uint64_t h = Hash64(page.page_token);
  for (const ScanItem& item : page.items) h = h * 31 + HashOf(item.answer) + Hash64(item.item.key);
  return h;
}
template <class Answer>
uint64_t HashOf(const absl::StatusOr<Answer>& answer) {
  if (answer.ok()) return HashOf(*answer);
  const ErrorDetails details = DetailsOf(answer.status());
  return static_cast<uint64_t>(answer.status().code()) * 64 +
         static_cast<uint64_t>(details.outcome);
}

// What the watcher is told of each.
struct Watch {
  ClientWatcher* watcher;
  uint16_t process;
  Item item;  // Of a write or get.
  Instant asked;

  void Begin(const GetRequest& request) const {
    if (watcher != nullptr) watcher->OnGet(process, request);
  }
  void End(const absl::StatusOr<GetAnswer>& answer) const {
    if (watcher != nullptr) watcher->OnGot(process, item, answer);
  }
  void End(const absl::StatusOr<WriteAnswer>& answer) const {
    if (watcher != nullptr) watcher->OnWritten(item, answer, asked);
  }
  template <class Request>
  void Begin(const Request&) const {}
  template <class Answer>
  void End(const Answer&) const {}
};

Item ItemOf(const WriteRequest& request) { return request.item; }
Item ItemOf(const GetRequest& request) { return request.item; }
Item ItemOf(const ScanRequest&) { return {}; }

template <class Request, class Answer>
Task<void> ServeOne(Node* node, Request request, Instant deadline,
                    absl::AnyInvocable<void(absl::StatusOr<Answer>)> done) {
  absl::StatusOr<Answer> answer = co_await RunAt(node, std::move(request), deadline);
  done(std::move(answer));
}

}  // namespace

template <class Request, class Answer>
Task<absl::StatusOr<Answer>> ClientLine::Run(int number, Request request, Duration timeout) {
  World* world = cluster_->world_;
  SimProcess* process = &cluster_->Process(number);
  const Instant deadline = world->now() + timeout;
  if (!process->up()) {
    co_await SleepUntil(world->loop(), world->now() + kRefusalTime);
    co_return ClientError(absl::UnavailableError(absl::StrCat(process->name(), " is down")),
                          "NOT_SENT", Outcome::kNotApplied);
  }

  const uint64_t call = ++cluster_->last_call_;
  Mailbox<absl::StatusOr<Answer>> answers(world->loop());
  const Watch watch{cluster_->watcher_, process->index_, ItemOf(request), world->now()};
  auto deliver = [world, to = answers.sender(), back = Latency(),
                  lost = answer_loss_ > 0 && random_.Chance(answer_loss_), call,
                  watch](absl::StatusOr<Answer> answer) {
    watch.End(answer);
    if (lost) return;
    world->After(world->loop(), back, [world, to, call, answer = std::move(answer)]() mutable {
      world->Trace(TraceKind::kClientAnswer, call, 0, HashOf(answer));
      to.Deliver(std::move(answer));
    });
  };
  process->waiting_[call] = [to = answers.sender()](absl::Status status) {
    to.Deliver(std::move(status));
  };
  const int incarnation = process->crashes_;
  world->After(
      process->loop_, Latency(),
      [world, process, deadline, call, deliver, watch, request = std::move(request)]() mutable {
        watch.Begin(request);
        world->Trace(TraceKind::kClientCall, call, process->index_, HashOf(request));
        if (process->node_ == nullptr) {
          deliver(ClientError(absl::UnavailableError("the process is starting"), "NOT_SENT",
                              Outcome::kNotApplied));
          return;
        }
        annulus::Node* node = process->node_.get();
        node->Spawn(ServeOne<Request, Answer>(
            node, std::move(request), process->loop_->ToLocal(deadline), std::move(deliver)));
      });

  std::optional<absl::StatusOr<Answer>> answer = co_await answers.Next(deadline);
  if (process->crashes_ == incarnation) process->waiting_.erase(call);
  if (!answer.has_value()) {
    co_return ClientError(absl::DeadlineExceededError("no answer came in time"), "CLIENT_TIMEOUT",
                          Outcome::kUnknown);
  }
  co_return *std::move(answer);
}

Task<absl::StatusOr<WriteAnswer>> ClientLine::Write(int process, WriteRequest request,
                                                    Duration timeout) {
  return Run<WriteRequest, WriteAnswer>(process, std::move(request), timeout);
}

Task<absl::StatusOr<GetAnswer>> ClientLine::Get(int process, GetRequest request, Duration timeout) {
  return Run<GetRequest, GetAnswer>(process, std::move(request), timeout);
}

Task<absl::StatusOr<ScanPage>> ClientLine::Scan(int process, ScanRequest request,
                                                Duration timeout) {
  return Run<ScanRequest, ScanPage>(process, std::move(request), timeout);
}

namespace {

template <class Answer>
Task<void> Keep(Task<absl::StatusOr<Answer>> running,
                std::shared_ptr<std::optional<absl::StatusOr<Answer>>> answer) {
  absl::StatusOr<Answer> got = co_await std::move(running);
  *answer = std::move(got);
}

template <class Answer>
absl::StatusOr<Answer> RunToItsEnd(World* world, TaskGroup* tasks,
                                   Task<absl::StatusOr<Answer>> running) {
  auto answer = std::make_shared<std::optional<absl::StatusOr<Answer>>>();
  tasks->Spawn(Keep<Answer>(std::move(running), answer));
  ANNULUS_CHECK(world->RunUntil([&] { return answer->has_value(); }, 10min));
  return **std::move(answer);
}

}  // namespace

absl::StatusOr<WriteAnswer> Client::Write(WriteRequest request) {
  return RunToItsEnd(&cluster_->world(), &tasks_,
                     line_.Write(process_, std::move(request), timeout_));
}

absl::StatusOr<WriteAnswer> Client::Put(std::string key, std::string value, Bytes context) {
  return Write({.item = ItemOf(std::move(key)),
                .value = std::move(value),
                .context = std::move(context),
                .w = {.level = level_},
                .sloppy = sloppy_});
}

void Client::StartPut(std::string key, std::string value, Bytes context) {
  auto answer = std::make_shared<std::optional<absl::StatusOr<WriteAnswer>>>();
  tasks_.Spawn(Keep<WriteAnswer>(line_.Write(process_,
                                             {.item = ItemOf(std::move(key)),
                                              .value = std::move(value),
                                              .context = std::move(context),
                                              .w = {.level = level_},
                                              .sloppy = sloppy_},
                                             timeout_),
                                 answer));
}

absl::StatusOr<WriteAnswer> Client::Delete(std::string key, Bytes context) {
  return Write({.item = ItemOf(std::move(key)),
                .is_delete = true,
                .context = std::move(context),
                .w = {.level = level_},
                .sloppy = sloppy_});
}

absl::StatusOr<GetAnswer> Client::GetAtLeast(std::string key, Bytes context) {
  GetRequest request{.item = ItemOf(std::move(key)),
                     .r = {.level = Consistency::kOne},
                     .at_least = std::move(context)};
  return RunToItsEnd(&cluster_->world(), &tasks_,
                     line_.Get(process_, std::move(request), timeout_));
}

absl::StatusOr<ScanPage> Client::Scan(ScanRequest request) {
  return RunToItsEnd(&cluster_->world(), &tasks_,
                     line_.Scan(process_, std::move(request), timeout_));
}

absl::StatusOr<GetAnswer> Client::Read(GetRequest request) {
  return RunToItsEnd(&cluster_->world(), &tasks_,
                     line_.Get(process_, std::move(request), timeout_));
}

absl::StatusOr<GetAnswer> Client::Get(std::string key) {
  return RunToItsEnd(
      &cluster_->world(), &tasks_,
      line_.Get(process_,
                {.item = ItemOf(std::move(key)), .r = {.level = level_}, .sloppy = sloppy_},
                timeout_));
}

std::string Client::Values(std::string key) {
  absl::StatusOr<GetAnswer> answer = Get(std::move(key));
  if (!answer.ok()) return DetailsOf(answer.status()).reason;
  std::vector<std::string> values;
  for (const ShownSibling& sibling : answer->siblings) values.push_back(sibling.value);
  std::sort(values.begin(), values.end());
  return absl::StrJoin(values, " ");
}

}  // namespace annulus::sim
