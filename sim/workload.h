#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "sim/cluster.h"
#include "sim/faults.h"
#include "sim/history.h"

namespace annulus::sim {

struct WorkloadOptions {
  int clients = 12;
  // Each client ends after its share.
  int operations = 1200;
  int keys = 16;
  // Chance of an answer that never comes back to its client.
  double answer_loss = 0.002;
  // Of the think times: most are below `think_short`, some up to `think_long`.
  Duration think_short = 30ms;
  Duration think_long = 15s;
  double think_long_chance = 0.08;
  // So many times, evenly, all clients rest: what goes on in the background gets its chance, and
  // what was old gets older.
  int lulls = 2;
  Duration lull = 40s;
  // How many of the items are used no more from some moment on: what a node lacks of them it gets
  // in the background or never.
  double retired = 0.4;
  double loyal = 0.35;
  // Most items are deleted and written again, all the time.
  bool deleting = false;
  // Every operation at QUORUM, with 10 s, without at_least: what promise 5 speaks of.
  bool at_quorum = false;
};

// Clients in closed loops on a few hot items, each asking any process, at any level, in turn. What
// an item is used for stays the same, so that what its history must be is known:
//
// - counters: sets that only grow. Read all siblings, write their union with one element more, over
//   the context of the read.
// - registers: read and write over what was read; write blind; write over one's own last write
//   without a look at what others did (the interleaved writers of the classic case).
// - documents: as registers, and deleted with a context, and written again.
// - wiped documents: deleted blind, too. Of these the checker knows less.
// - sessions: documents whose values expire.
// - folders: registers under one key with sort keys of their own.
//
// Some items are retired in the course of the run. Before that, one client tidies up: it deletes
// what can be deleted, twice, as one that cannot know whether another one has done so.
//
// Some clients are loyal: they ask one process, whatever it answers, as an agent does that lives
// beside it, are content with one durable copy, wherever it is, and have no patience. What they
// write to a process that is cut off is there alone for a while.
//
// Who is refused, since a process is down or not ready, waits before the next try, the longer the
// more often.
//
// Besides: batches (several operations of one client at once), scans of all items, retries of
// unknown writes under their request id, values above and below the size at which replicas send
// digests.
class Workload {
 public:
  // `faults` may be null, where there are none.
  Workload(Cluster* cluster, const Faults* faults, History* history, WorkloadOptions options);

  // The clients begin to run, on the world's loop.
  void Start();
  bool Done() const { return running_ == 0; }

  // Reads every item from all its owners; tries again for up to `patience`. Runs the world.
  void ReadAllOwners(Duration patience);

 private:
  enum class Use : uint8_t { kCounter, kRegister, kDocument, kWiped, kSession, kFolder };

  // What a client holds of one item.
  struct Held {
    Bytes context;
    std::vector<WriteId> covers;  // See WriteOp::covers.
    std::vector<WriteId> elements;
  };
  struct ClientState {
    uint32_t number = 0;
    Random random{0};
    std::vector<Held> held;  // By key.
    int favourite = 1;       // The process it asks mostly.
    bool is_loyal = false;
    int left = 0;      // Operations that it still does.
    int refusals = 0;  // In a row, of requests that reached nobody.
  };

  Task<void> RunClient(ClientState* client);
  Task<void> RunOne(ClientState* client, uint32_t key);
  Task<void> RunBatch(ClientState* client);
  Task<void> RunScan(ClientState* client);
  Task<void> TidyUp(ClientState* client, uint32_t key);
  // `at_least`: the answer is to cover what the client holds.
  Task<void> Get(ClientState* client, uint32_t key, bool at_least = false);
  // With the context that the client holds of the item, or without.
  Task<void> Write(ClientState* client, uint32_t key, WriteOp::Kind kind, bool with_context);
  Task<void> FinalRead(uint32_t key, Instant until);

  uint32_t PickKey(ClientState* client);
  bool IsRetired(uint32_t key) const { return counted_ >= retired_at_[key]; }
  // The next item that has been retired, if nobody has tidied it up.
  std::optional<uint32_t> NextToTidy();
  Duration ThinkTime(ClientState* client);
  // After each answer: where the client goes next, and how soon.
  void TakeStatus(ClientState* client, const absl::Status& status);
  int PickProcess(ClientState* client);
  ReplicaCount PickCount(Random* random, uint32_t* number);
  ReplicaCount PickWriteCount(ClientState* client, uint32_t* number);
  Duration PickTimeout(ClientState* client);
  // Counts an operation; rests begin by this count.
  void CountOne(ClientState* client);
  void TakeAnswer(size_t read_index, uint32_t r, const absl::StatusOr<GetAnswer>& answer);

  // Notes an attempt where promise 5 speaks of it: then the text of its error, else empty.
  std::string Unserved(int process, Instant asked, const absl::Status& status);

  Cluster* cluster_;
  const Faults* faults_;
  World* world_;
  History* history_;
  WorkloadOptions options_;
  ClientLine line_;
  Random random_;
  std::vector<Use> uses_;
  std::vector<size_t> value_size_min_;  // By key.
  std::vector<int> retired_at_;         // By key: from so many operations on.
  std::vector<bool> tidied_;            // By key.
  std::vector<ClientState> clients_;
  // How the levels are mixed in this run: chances of ONE and of ALL; else QUORUM.
  double one_chance_ = 0;
  double all_chance_ = 0;
  double sloppy_chance_ = 0;
  int running_ = 0;
  int counted_ = 0;
  Instant rest_until_;
  TaskGroup tasks_;
};

}  // namespace annulus::sim
