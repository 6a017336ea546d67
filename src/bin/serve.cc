#include "bin/serve.h"

#include <sys/random.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "adapters/faults/faulty_env.h"
#include "adapters/grpc/admin_service.h"
#include "adapters/grpc/grpc_transport.h"
#include "adapters/grpc/health_service.h"
#include "adapters/grpc/kv_service.h"
#include "adapters/grpc/peer_codec.h"
#include "adapters/grpc/reflection_service.h"
#include "adapters/grpc/server.h"
#include "adapters/http/http_server.h"
#include "adapters/log/logger.h"
#include "adapters/loop/cq_loop.h"
#include "adapters/rocksdb/data_directory.h"
#include "adapters/rocksdb/memory_budget.h"
#include "adapters/rocksdb/rocks_status.h"
#include "adapters/rocksdb/rocks_storage.h"
#include "base/check.h"
#include "bin/process_metrics.h"
#include "bin/request_log.h"
#include "bin/signals.h"
#include "core/error.h"
#include "node/node.h"
#include "task/mailbox.h"
#include "task/sleep.h"
#include "task/spawn.h"

namespace annulus {
namespace {

constexpr char kKvStore[] = "annulus.kv.v1.KVStore";
constexpr char kAdmin[] = "annulus.admin.v1.Admin";
constexpr char kHealth[] = "grpc.health.v1.Health";
constexpr char kReflection[] = "grpc.reflection.v1.ServerReflection";
constexpr char kReflectionAlpha[] = "grpc.reflection.v1alpha.ServerReflection";

// How often readiness and the gauges are looked at; events of the node do so at once.
constexpr Duration kSampleInterval = 250ms;
// How often the log says that faults are enabled.
constexpr Duration kFaultsReminder = 60s;
// After the drain: how long calls that are still open may take to end by themselves.
constexpr Duration kServerGrace = 250ms;

class SystemClock final : public Clock {
 public:
  WallTime Wall() const override {
    return {std::chrono::duration_cast<std::chrono::microseconds>(
                std::chrono::system_clock::now().time_since_epoch())
                .count()};
  }
};

Random SeededRandom() {
  uint64_t seed = 0;
  ANNULUS_CHECK(getrandom(&seed, sizeof(seed), 0) == sizeof(seed));
  return Random(seed);
}

// What calls for a person, and what merely happened.
LogLevel LevelOf(std::string_view event) {
  if (event == "duplicate_node_id" || event == "disk_not_as_it_was") return LogLevel::kError;
  return LogLevel::kInfo;
}

// For what is read and written: a part for records as they are, the rest for blocks and memtables.
struct StorageMemory {
  size_t records = 0;
  size_t database = 0;
};
StorageMemory StorageMemoryOf(const cli::ServeSettings& settings) {
  const size_t all = settings.cache_mb > 0 ? static_cast<size_t>(settings.cache_mb) << 20
                                           : StorageMemoryBytes(MemoryLimitBytes());
  return {.records = all / 4, .database = all - all / 4};
}

NodeOptions ToNodeOptions(const cli::ServeSettings& settings) {
  NodeOptions options;
  options.record_cache_bytes = StorageMemoryOf(settings).records;
  options.cluster = settings.cluster;
  options.name = settings.name;
  options.zone = settings.zone;
  options.peer_address = settings.advertise_peer;
  options.client_address = settings.advertise_client;
  for (const cli::ServeSettings::Member& member : settings.members) {
    options.seeds.push_back({member.name, member.peer_address, member.zone});
  }
  options.partitions = settings.partitions;
  options.replicas = settings.replicas;
  options.admission.operations_max = settings.operations_max;
  options.admission.bytes_max = settings.operations_mb << 20;
  options.secrets = settings.secrets;
  options.repair_interval = settings.repair_interval;
  options.reap_interval = settings.reap_interval;
  options.clock_skew_max = settings.clock_skew_max;
  options.repair_bytes_per_second = settings.repair_mb_per_second << 20;
  options.scrub_interval = settings.scrub_days * 24h;
  options.hint_limits = {.bytes_max = settings.hint_mb << 20,
                         .bytes_per_target_max = settings.hint_mb << 19};
  return options;
}

// One process, from its start to its end. All on the thread of the loop, which is the main thread.
class Process {
 public:
  explicit Process(const cli::ServeSettings& settings);
  ~Process();

  // The exit code.
  int Run();

 private:
  absl::Status OpenStorage();
  absl::Status OpenDatabase();
  // Whether that is damage which the other members make good.
  bool CallsForQuarantine(const absl::Status& status) const;
  // Sets the damaged database aside, and opens an empty one.
  absl::Status Quarantine(const absl::Status& why);
  Env MakeEnv();
  absl::Status OpenPorts();
  Task<void> StartNode();
  void Started(std::unique_ptr<Node> node);
  void Fail(const absl::Status& status);
  void StopOnce();
  Task<void> Stop();
  void Refresh();
  void SampleAgain();
  void WarnOfFaults();
  Readiness IsReady() const;

  const cli::ServeSettings settings_;
  Logger log_;
  ProcessMetrics metrics_;
  SystemClock clock_;
  Random random_;
  int exit_code_ = 0;
  std::vector<std::string> notices_;
  int databases_set_aside_ = 0;
  bool stopping_ = false;
  uint64_t layout_version_ = 0;
  Loop::TimerId sample_timer_ = 0;
  Loop::TimerId faults_timer_ = 0;

  // In the order in which they are made; taken apart by ~Process.
  std::unique_ptr<CqLoop> loop_;
  RequestLog request_log_;
  std::unique_ptr<RocksStorage> storage_;
  std::unique_ptr<GrpcTransport> transport_;
  std::unique_ptr<FaultyEnv> faults_;  // Only with --enable-faults.
  DoorContext door_;
  KvService kv_;
  AdminService admin_;
  HealthService health_;
  ReflectionService reflection_;
  std::unique_ptr<GrpcServer> public_server_;
  std::unique_ptr<GrpcServer> peer_server_;
  std::unique_ptr<HttpServer> http_;
  std::unique_ptr<Node> node_;
  std::unique_ptr<TaskGroup> flows_ = std::make_unique<TaskGroup>();
};

Process::Process(const cli::ServeSettings& settings)
    : settings_(settings),
      log_(ParseLogLevel(settings.log_level).value_or(LogLevel::kInfo),
           ParseLogFormat(settings.log_format).value_or(LogFormat::kText), settings.name),
      metrics_(ANNULUS_VERSION),
      random_(SeededRandom()),
      loop_(std::make_unique<CqLoop>()),
      request_log_(loop_.get(), &log_, &metrics_),
      transport_(std::make_unique<GrpcTransport>(
          loop_.get(), TransportOptions{.cluster = settings.cluster},
          [this](std::string_view event, std::string_view detail) {
            log_.Log(event == "link_up" ? LogLevel::kInfo : LogLevel::kWarn, event, detail);
          })),
      door_{.loop = loop_.get(), .observer = &request_log_},
      kv_(&door_),
      admin_(&door_, ANNULUS_VERSION),
      health_(loop_.get(), {kKvStore, kAdmin}),
      reflection_(loop_.get(), {kKvStore, kAdmin, kHealth, kReflection, kReflectionAlpha}) {}

Process::~Process() {
  http_.reset();
  flows_.reset();
  faults_.reset();
  // The servers have ended, and the node with its links; what is left of their calls comes back
  // when the loop ends, so that the services must be there still.
  public_server_.reset();
  peer_server_.reset();
  storage_.reset();
  loop_.reset();
}

int Process::Run() {
  Signals signals([this] { loop_->Post([this] { StopOnce(); }); });
  absl::Status status = OpenStorage();
  if (status.ok()) status = OpenPorts();
  if (status.ok()) {
    loop_->Post([this] { flows_->Spawn(StartNode()); });
  } else {
    loop_->Post([this, status] {
      Fail(status);
      StopOnce();
    });
  }
  loop_->Run();
  return exit_code_;
}

absl::Status Process::OpenStorage() {
  if (settings_.coordinator) return absl::OkStatus();
  absl::Status opened = OpenDatabase();
  if (CallsForQuarantine(opened)) opened = Quarantine(opened);
  return opened;
}

// Once in a start: what is damaged again at once has another cause. A node alone has nobody to
// learn from; what is left of its data is for people to save.
bool Process::CallsForQuarantine(const absl::Status& status) const {
  return absl::IsDataLoss(status) && DetailsOf(status).reason != kReasonUnreadable &&
         settings_.members.size() > 1 && notices_.empty();
}

absl::Status Process::Quarantine(const absl::Status& why) {
  storage_.reset();
  absl::StatusOr<std::string> aside = SetDatabaseAside(settings_.data_dir);
  if (!aside.ok()) return aside.status();
  log_.Log(LogLevel::kError, "database_quarantined",
           {{"moved_to", *aside},
            {"why", std::string(why.message())},
            {"message",
             "the database is damaged and was set aside, never to be deleted by this program; this "
             "node starts empty and is rebuilt from the others"}});
  notices_.push_back(
      absl::StrCat("the database was damaged and set aside as ", *aside, ": ", why.message()));
  return OpenDatabase();
}

absl::Status Process::OpenDatabase() {
  databases_set_aside_ = DatabasesSetAside(settings_.data_dir);
  RocksOptions options;
  options.ends_when_damaged = settings_.members.size() > 1;
  options.path = settings_.data_dir;
  options.sync = settings_.sync;
  options.memory_bytes = StorageMemoryOf(settings_).database;
  absl::StatusOr<std::unique_ptr<RocksStorage>> storage =
      RocksStorage::Open(std::move(options), loop_.get());
  if (!storage.ok()) return storage.status();
  storage_ = *std::move(storage);
  return absl::OkStatus();
}

absl::Status Process::OpenPorts() {
  std::vector<grpc::Service*> services = reflection_.services();
  services.insert(services.end(), {kv_.service(), admin_.service(), health_.service()});
  auto public_server =
      GrpcServer::Start(loop_.get(), PublicServerOptions(settings_.listen_client), services);
  if (!public_server.ok()) return public_server.status();
  public_server_ = *std::move(public_server);

  auto peer_server = GrpcServer::Start(loop_.get(), PeerServerOptions(settings_.listen_peer),
                                       {transport_->service()});
  if (!peer_server.ok()) return peer_server.status();
  peer_server_ = *std::move(peer_server);

  auto http = HttpServer::Start(
      loop_.get(), {.address = settings_.listen_http},
      {.readiness = [this] { return IsReady(); }, .metrics = [this] { return metrics_.Render(); }});
  if (!http.ok()) return http.status();
  http_ = *std::move(http);
  return absl::OkStatus();
}

Task<void> Process::StartNode() {
  health_.Accept();
  reflection_.Accept();
  transport_->ServerStarted();

  absl::StatusOr<std::unique_ptr<Node>> node = absl::UnknownError("not started");
  while (true) {
    const Env env = MakeEnv();
    EventSink events = [this](std::string_view event, std::string_view detail) {
      log_.Log(LevelOf(event), event, detail);
      loop_->Post([this] { Refresh(); });
    };
    NodeOptions options = ToNodeOptions(settings_);
    options.notices = notices_;
    node = co_await Node::Start(env, std::move(options), std::move(events));
    if (stopping_) co_return;  // A signal came first.
    if (!CallsForQuarantine(node.status())) break;
    absl::Status opened = Quarantine(node.status());
    if (opened.ok()) continue;
    node = opened;
    break;
  }
  if (settings_.enable_faults) WarnOfFaults();
  if (node.ok()) {
    Started(*std::move(node));
  } else {
    Fail(node.status());
    StopOnce();
  }
}

Env Process::MakeEnv() {
  const Env env{.loop = loop_.get(),
                .clock = &clock_,
                .transport = transport_.get(),
                .storage = storage_.get(),
                .random = &random_};
  if (!settings_.enable_faults) return env;
  faults_ = std::make_unique<FaultyEnv>(
      env, MessageSizes{.request = ApproximateSize, .reply = ApproximateSize});
  door_.faults = faults_->plane();
  return faults_->env();
}

void Process::Started(std::unique_ptr<Node> node) {
  node_ = std::move(node);
  if (storage_ != nullptr) storage_->EndAtDamagedReads();
  door_.node = node_.get();
  kv_.Accept();
  admin_.Accept();
  log_.Log(LogLevel::kInfo, "started",
           {{"version", ANNULUS_VERSION},
            {"role", settings_.coordinator ? "coordinator" : "node"},
            {"cluster", settings_.cluster},
            {"node_id", ToHex(node_->id())},
            {"incarnation", ToHex(node_->incarnation())},
            {"listen_client", settings_.listen_client},
            {"listen_peer", settings_.listen_peer},
            {"listen_http", settings_.listen_http},
            {"data_dir", settings_.data_dir},
            {"sync", settings_.sync ? "true" : "false"}});
  SampleAgain();
}

void Process::Fail(const absl::Status& status) {
  exit_code_ = 1;
  // For people who start it by hand; the log may be JSON.
  std::fprintf(stderr, "annulus: %s\n", std::string(status.message()).c_str());
}

void Process::StopOnce() {
  if (std::exchange(stopping_, true)) return;
  flows_->Spawn(Stop());
}

// Refuses new requests, lets those under way end, then ends what is left; in this order, so that
// each part still finds what it uses.
Task<void> Process::Stop() {
  const bool was_started = node_ != nullptr;
  if (was_started) log_.Log(LogLevel::kInfo, "stopping");
  health_.SetServing(false);
  if (node_ != nullptr) {
    node_->Drain();
    const Instant until = loop_->Now() + settings_.drain;
    while (node_->busy() > 0 && loop_->Now() < until) co_await Sleep(loop_.get(), 5ms);
    if (node_->busy() > 0) {
      log_.Log(LogLevel::kWarn, "drain_cut_short", {{"requests", absl::StrCat(node_->busy())}});
    }
  }
  if (sample_timer_ != 0) loop_->Cancel(sample_timer_);
  if (faults_timer_ != 0) loop_->Cancel(faults_timer_);

  transport_->StopServing();
  if (faults_ != nullptr) faults_->StopServing();
  door_.node = nullptr;
  node_.reset();
  health_.Stop();
  Mailbox<bool> ended(loop_.get());
  int servers = 0;
  for (GrpcServer* server : {public_server_.get(), peer_server_.get()}) {
    if (server == nullptr) continue;
    ++servers;
    server->Shutdown(kServerGrace, [to = ended.sender()] { to.Deliver(true); });
  }
  for (; servers > 0; --servers) co_await ended.Next();
  while (transport_->client_streams() > 0) co_await Sleep(loop_.get(), 1ms);
  if (was_started) log_.Log(LogLevel::kInfo, "stopped");
  loop_->Stop();
}

Readiness Process::IsReady() const {
  if (stopping_) return {false, "draining"};
  if (door_.node == nullptr) return {false, "starting"};
  const StatusView view = door_.node->Status();
  return {view.ready, view.not_ready_reason};
}

// Tells everyone who shows it what the node is now.
void Process::Refresh() {
  if (door_.node == nullptr || stopping_) return;
  const StatusView view = door_.node->Status();
  layout_version_ = view.layout_version.value();
  log_.SetLayoutVersion(layout_version_);
  health_.SetServing(view.ready);
  metrics_.Take({.ready = view.ready,
                 .layout_version = layout_version_,
                 .links = transport_->links(),
                 .links_up = transport_->links_up(),
                 .uptime = view.uptime,
                 .faults_enabled = faults_ != nullptr,
                 .faults_active = faults_ == nullptr ? 0 : faults_->plane()->Active().size(),
                 .counters = view.counters,
                 .convergence = view.storage ? std::optional(view.convergence) : std::nullopt,
                 .hints = view.hints,
                 .reap = view.reap,
                 .databases_set_aside = databases_set_aside_});
}

void Process::SampleAgain() {
  Refresh();
  sample_timer_ = loop_->PostAt(loop_->Now() + kSampleInterval, [this] {
    sample_timer_ = 0;
    SampleAgain();
  });
}

void Process::WarnOfFaults() {
  log_.Log(LogLevel::kWarn, "faults_enabled",
           {{"message",
             "this process was started with --enable-faults: whoever reaches its admin service can "
             "make it lose messages and refuse writes"},
            {"active", absl::StrCat(faults_->plane()->Active().size())}});
  faults_timer_ = loop_->PostAt(loop_->Now() + kFaultsReminder, [this] {
    faults_timer_ = 0;
    WarnOfFaults();
  });
}

}  // namespace

int Serve(const cli::ServeSettings& settings) {
  Signals::Block();
  // What matters of gRPC's own log comes back as the error of a call; the rest alarms people for
  // nothing. GRPC_VERBOSITY still turns it on.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  Process process(settings);
  return process.Run();
}

}  // namespace annulus
