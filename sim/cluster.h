#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "node/node.h"
#include "sim/sim_disk.h"
#include "sim/sim_net.h"
#include "sim/world.h"
#include "task/mailbox.h"
#include "task/spawn.h"

namespace annulus::sim {

class Cluster;

// Sees what processes are asked and what they answer, at the processes.
class ClientWatcher {
 public:
  virtual ~ClientWatcher() = default;
  virtual void OnGet(uint16_t process, const GetRequest& request) = 0;
  virtual void OnGot(uint16_t process, const Item& item,
                     const absl::StatusOr<GetAnswer>& answer) = 0;
  // It was asked then.
  virtual void OnWritten(const Item& item, const absl::StatusOr<WriteAnswer>& answer,
                         Instant asked) = 0;
};

struct ClusterOptions {
  int nodes = 3;
  int coordinators = 0;
  uint32_t replicas = 3;
  uint32_t partitions = 16;
  bool sync = true;
  Duration silence_max = 150ms;
  size_t siblings_max = 100;
  Duration repair_interval = 1s;
  Duration scrub_interval = 20s;
  Duration reap_interval = 5s;
  Duration clock_skew_max = 2s;
  size_t operations_max = 4096;  // Of clients, under way at one process.
  uint64_t hint_bytes_max = uint64_t{1} << 30;
  size_t record_cache_bytes = 1 << 20;
  // Skews of monotonic and wall clocks, drawn for each incarnation.
  bool skewed_clocks = true;
};

// How a process ends.
enum class CrashKind {
  kProcess,  // Its machine tells its peers at once.
  kMachine,  // Nobody tells them.
};

// One process of the cluster, through its lives: Crash and Restart, Pause and Resume. Its disk
// stays.
class SimProcess {
 public:
  const std::string& name() const { return name_; }
  uint16_t index() const { return index_; }
  bool is_node() const { return disk_ != nullptr; }

  bool up() const { return loop_ != nullptr; }
  bool paused() const { return loop_ != nullptr && loop_->paused(); }
  // It has a layout and takes requests.
  bool ready() const;
  // Null while it is down, or has not got so far.
  annulus::Node* node() const { return node_.get(); }
  SimDisk& disk() { return *disk_; }
  const SimDisk& disk() const { return *disk_; }
  SimLoop* loop() { return loop_; }

  // REQUIRES: up().
  void Crash(CrashKind kind = CrashKind::kProcess);
  // REQUIRES: !up().
  void Restart();
  // As a container that is created again: at an address that nobody's configuration names.
  void RestartElsewhere();
  // With another's disk, as it is now, and under its name. REQUIRES: !up(), and a node.
  void RestartAsCopyOf(const SimProcess& original);
  // REQUIRES: up() and not paused.
  void Pause();
  // REQUIRES: paused().
  void Resume();
  // Of its peer port, at present.
  std::string address() const;
  // Asks it to end in peace: it takes nothing new, ends what is under way (until kDrainMax), goes
  // down, and starts again after `down_for`. REQUIRES: ready().
  static constexpr Duration kDrainMax = 5s;
  void Drain(Duration down_for);
  // How often it crashed.
  int crashes() const { return crashes_; }
  // The last status of each incarnation that got so far, the present one's included.
  std::vector<StatusView> Lives() const;

 private:
  friend class Cluster;
  friend class ClientLine;

  SimProcess(Cluster* cluster, uint16_t index, std::string name, bool is_node);
  Task<void> Start();
  void EndWhenIdle(SimLoop* loop, Instant until, Duration down_for);

  Cluster* cluster_;
  uint16_t index_;
  std::string name_;
  std::unique_ptr<SimDisk> disk_;
  int crashes_ = 0;
  int moves_ = 0;
  bool is_copy_ = false;
  std::vector<StatusView> past_;

  // Of the present incarnation; null while it is down.
  SimLoop* loop_ = nullptr;
  std::unique_ptr<Random> random_;
  std::unique_ptr<SimTransport> transport_;
  std::unique_ptr<SimStorage> storage_;
  std::unique_ptr<TaskGroup> tasks_;
  std::unique_ptr<annulus::Node> node_;
  // Clients that wait for an answer of this incarnation, by call.
  std::map<uint64_t, absl::AnyInvocable<void(absl::Status)>> waiting_;
};

// n storage nodes and some coordinators in one world, with the network between them. Processes are
// numbered from 1: the nodes, then the coordinators.
class Cluster {
 public:
  Cluster(World* world, ClusterOptions options);
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  // Runs the world until all processes are ready. False where they are not within `limit`.
  bool WaitReady(Duration limit = 30s);

  SimProcess& Node(int number) { return *processes_[number - 1]; }
  const SimProcess& Node(int number) const { return *processes_[number - 1]; }
  SimProcess& Coordinator(int number) { return *processes_[options_.nodes + number - 1]; }
  SimProcess& Process(int index) {
    return index > processes() ? Stranger() : *processes_[index - 1];
  }
  // The process behind the last, of which nobody's configuration knows; down until it is restarted
  // as somebody's copy.
  SimProcess& Stranger();
  // REQUIRES: there is one of that name.
  SimProcess* Find(const std::string& name);
  int processes() const { return static_cast<int>(processes_.size()); }
  int nodes() const { return options_.nodes; }
  // The numbers of the nodes that own the item, in the order of its preference list.
  // REQUIRES: some process is ready.
  std::vector<int> OwnersOf(const Item& item) const;
  // Of the member with this id; 0 where there is none. REQUIRES: some process is ready.
  int NumberOf(NodeId id) const;

  // How far any wall clock has been from true time: as of the last call of NoteClocks, which is due
  // before each change of a clock, and at the end.
  void NoteClocks();
  Duration wall_error_max() const { return wall_error_max_; }

  // What a context that some process has handed out covers. REQUIRES: it is one of the item.
  VersionVector OpenContext(const Item& item, const Bytes& context) const;

  // Is told when a node is about to drop its copy of a partition, since its disk is too old.
  void set_on_set_aside(std::function<void(int node, PartitionId)> told) {
    on_set_aside_ = std::move(told);
  }

  // Null: nobody.
  void set_watcher(ClientWatcher* watcher) { watcher_ = watcher; }

  // Of some process that is ready; null where none is.
  const Layout* AnyLayout() const;

  World& world() { return *world_; }
  SimNet& net() { return net_; }
  const ClusterOptions& options() const { return options_; }

 private:
  friend class SimProcess;
  friend class ClientLine;

  NodeOptions OptionsOf(const SimProcess& process) const;
  const Layout& SomeLayout() const;

  World* world_;
  ClusterOptions options_;
  SimNet net_;
  std::vector<std::unique_ptr<SimProcess>> processes_;
  std::unique_ptr<SimProcess> stranger_;  // Null until it is asked for.
  uint64_t last_call_ = 0;
  Duration wall_error_max_{0};
  TokenKeys tokens_;
  std::function<void(int, PartitionId)> on_set_aside_ = [](int, PartitionId) {};
  ClientWatcher* watcher_ = nullptr;
};

// How clients reach a process: 0.1-0.5 ms each way, and now and then an answer that is lost. A
// process that is down refuses (nothing was sent); one that goes down loses what it was doing; one
// that is paused keeps its clients waiting.
//
// The error that a failed write ends with always says its outcome (DetailsOf): here too.
class ClientLine {
 public:
  explicit ClientLine(Cluster* cluster);

  void set_answer_loss(double chance) { answer_loss_ = chance; }

  // Each ends by `timeout`. REQUIRES: arguments by value; the line outlives the call.
  Task<absl::StatusOr<WriteAnswer>> Write(int process, WriteRequest request, Duration timeout);
  Task<absl::StatusOr<GetAnswer>> Get(int process, GetRequest request, Duration timeout);
  Task<absl::StatusOr<ScanPage>> Scan(int process, ScanRequest request, Duration timeout);

 private:
  template <class Request, class Answer>
  Task<absl::StatusOr<Answer>> Run(int process, Request request, Duration timeout);
  Duration Latency();

  Cluster* cluster_;
  Random random_;
  double answer_loss_ = 0;
};

// A client for stories: each call runs the world until it has its answer.
class Client {
 public:
  Client(Cluster* cluster, int process) : cluster_(cluster), line_(cluster), process_(process) {}

  // Which process it asks, and how many replicas it wants, from now on.
  Client& Ask(int process) {
    process_ = process;
    return *this;
  }
  Client& With(Consistency level) {
    level_ = level;
    return *this;
  }
  // Owners alone count.
  Client& Strict() {
    sloppy_ = false;
    return *this;
  }
  Client& WithTimeout(Duration timeout) {
    timeout_ = timeout;
    return *this;
  }

  absl::StatusOr<WriteAnswer> Put(std::string key, std::string value, Bytes context = {});
  absl::StatusOr<WriteAnswer> Delete(std::string key, Bytes context);
  absl::StatusOr<GetAnswer> Get(std::string key);
  // At r = ONE, but not without what this context covers.
  absl::StatusOr<GetAnswer> GetAtLeast(std::string key, Bytes context);
  // One page.
  absl::StatusOr<ScanPage> Scan(ScanRequest request);
  // The values, sorted, as "a b"; or the error's name.
  std::string Values(std::string key);
  absl::StatusOr<WriteAnswer> Write(WriteRequest request);
  absl::StatusOr<GetAnswer> Read(GetRequest request);
  // Starts it and does not wait.
  void StartPut(std::string key, std::string value, Bytes context = {});

  static Item ItemOf(std::string key) { return Item{.bucket = "default", .key = std::move(key)}; }

 private:
  Cluster* cluster_;
  ClientLine line_;
  int process_;
  Consistency level_ = Consistency::kQuorum;
  bool sloppy_ = true;
  Duration timeout_ = 2s;
  TaskGroup tasks_;
};

}  // namespace annulus::sim
