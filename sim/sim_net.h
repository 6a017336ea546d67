#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "env/transport.h"
#include "sim/world.h"

namespace annulus::sim {

// Transport and Link on the virtual clock. Its fault model:
//
// - Each direction between two processes has conditions of its own, that may change at any time.
// - A message takes 50-150 us, one in a hundred up to 5 ms more, plus the direction's delay.
// Messages
//   of one connection arrive in the order of sending, but for those that `reorder` lets fall
//   behind.
// - `straggle`: such a message takes seconds, and all others overtake it.
// - `loss`: the message never arrives, and nobody is told: the caller meets its deadline.
// - `duplicate`: it arrives twice, the copy later. A request is then handled twice; the caller's
// done
//   still runs once.
// - Down: nothing arrives. What was sent is sent again (as TCP does) and arrives late if the
// direction
//   comes back before the connection is given up, after about `keepalive`. Down in one direction
//   only is enough to lose a connection; what the other direction carries until then is still
//   handled.
// - A process that crashes loses all that is on its way to it. Its peers hear of it at once, or
// (where
//   the whole machine went) when keepalive or a new process at that address tells them.
// - A paused process answers nothing; its peers give the connection up after `keepalive`. What
// reached
//   it meanwhile is handled when it goes on, however late.
// - `bytes_per_second`: messages queue for the direction, one after the other.
// - Half open: the connection is gone, and its caller does not know: what it sends vanishes, nobody
//   is told, and after `keepalive` it is lost. New connections are as good as ever.
// - Lost connections are dialled again, after 50 ms to 1 s. While there is none, calls fail
// NOT_SENT.
//
// Deadlines travel as time left, so that no clock has to agree with another.
struct PathConditions {
  bool up = true;
  Duration delay{0};
  Duration jitter{0};  // Up to this much more, by chance.
  double loss = 0;
  double duplicate = 0;
  double reorder = 0;
  double straggle = 0;
  uint64_t bytes_per_second = 0;  // 0: as many as there are.
};

class SimTransport;

// Sees what goes over the wire. `call` names a question among those of its sender's present life.
class NetWatcher {
 public:
  virtual ~NetWatcher() = default;
  // A forwarded write has arrived. `copy`: the network made this one.
  virtual void OnForwardArrived(const RequestId& /*request_id*/, uint16_t /*to*/, bool /*copy*/) {}
  virtual void OnForwardAnswered(const RequestId& /*request_id*/, uint16_t /*to*/) {}
  // A question leaves; so does its answer; it comes back.
  virtual void OnCall(uint16_t /*from*/, uint64_t /*call*/, const PeerRequest& /*request*/) {}
  virtual void OnAnswer(uint16_t /*from*/, uint16_t /*to*/, uint64_t /*call*/,
                        const PeerResult& /*answer*/) {}
  virtual void OnAnswerArrived(uint16_t /*from*/, uint16_t /*to*/, uint64_t /*call*/,
                               const PeerResult& /*answer*/) {}
};

class SimNet {
 public:
  static constexpr Duration kKeepalive = 3s;
  static constexpr uint32_t kCallsUnderWayMax = 4096;  // Per link.

  struct Stats {
    uint64_t delivered = 0;
    uint64_t lost = 0;
    uint64_t duplicated = 0;
    uint64_t unanswered = 0;  // Handlers that dropped their `done`: a broken contract.
  };

  SimNet(World* world, uint16_t processes);

  // The transport of a new incarnation of the process. It must go before its loop does.
  std::unique_ptr<SimTransport> Attach(SimLoop* loop, std::string address);

  // One direction. Conditions of a process to itself are never worse than perfect.
  void SetPath(uint16_t from, uint16_t to, PathConditions conditions);
  const PathConditions& path(uint16_t from, uint16_t to) const {
    return paths_[Index(from, to)].now;
  }
  // Both directions.
  void SetLink(uint16_t a, uint16_t b, PathConditions conditions);
  void HealAll();
  // What stands from one to the other is half open from now on.
  void HalfOpen(uint16_t from, uint16_t to);

  // REQUIRES: it is there whenever the world runs.
  void AddWatcher(NetWatcher* watcher) { watchers_.push_back(watcher); }
  void RemoveWatcher(NetWatcher* watcher) { std::erase(watchers_, watcher); }
  const Stats& stats() const { return stats_; }
  uint16_t processes() const { return processes_; }

 private:
  friend class SimTransport;
  friend class SimLink;

  using Instance = uint32_t;      // One incarnation's transport; from 1.
  using ConnectionId = uint32_t;  // From 1.

  struct Path {
    PathConditions now;
    uint32_t changes = 0;  // Of `up`.
    Instant busy_until;    // With what was sent before, where bandwidth is short.
  };
  struct Connection {
    Instance from = 0;
    Instance to = 0;
    class SimLink* link = nullptr;  // Of the caller; null once it is gone.
    bool alive = false;
    bool half_open = false;
    Instant last_arrival[2];  // There, and back.
  };
  struct Message {
    ConnectionId connection = 0;
    bool is_reply = false;
    uint64_t call = 0;
    // Of a request.
    Instant deadline;  // In true time.
    LayoutVersion version;
    PeerRequest request;
    // Of a reply.
    PeerResult reply = PeerReply(PingReply{});
    uint64_t hash = 0;
    uint64_t bytes = 0;  // About; for bandwidth.
  };
  class Replier;

  size_t Index(uint16_t from, uint16_t to) const { return size_t{from} * processes_ + to; }
  SimTransport* Find(Instance instance) const { return transports_[instance]; }
  // Including the time for which the direction is busy.
  Duration Latency(Path* path, uint64_t bytes);

  ConnectionId Connect(Instance from, Instance to, SimLink* link);
  // Tells the caller's link after `delay`, and drops what is under way.
  void LoseLater(ConnectionId connection, Duration delay);
  void Lose(ConnectionId connection);
  void LoseIfStillDown(uint16_t from, uint16_t to);
  void Detach(SimTransport* transport);

  void Send(std::shared_ptr<Message> message);
  void SendAgain(std::shared_ptr<Message> message, Duration wait);
  void Arrive(std::shared_ptr<Message> message, bool copy = false);
  void HandleRequest(SimTransport* to, std::shared_ptr<Message> message, bool copy);

  World* world_;
  uint16_t processes_;
  Random random_;
  std::vector<Path> paths_;
  std::vector<SimTransport*> transports_;  // By instance; null once gone.
  std::vector<uint16_t> process_of_;       // By instance.
  std::vector<std::string> address_of_;    // By instance.
  std::vector<Connection> connections_;    // By id.
  std::map<std::string, SimTransport*> by_address_;
  std::vector<NetWatcher*> watchers_;
  Stats stats_;
};

class SimTransport final : public Transport {
 public:
  ~SimTransport() override;

  std::unique_ptr<Link> Open(std::string address, NodeId expected) override;
  void Serve(Handler handler) override;

  void SetIdentity(NodeId id, Incarnation /*incarnation*/) override { id_ = id; }
  // The process goes down with its machine: nobody tells its peers.
  void DieSilently() { dies_silently_ = true; }
  // The process stopped answering just now (a pause), or goes on.
  void NotePause();
  void NoteResume() { ++pauses_; }

 private:
  friend class SimNet;
  friend class SimLink;

  struct Call {
    PeerDone done;
    SimLink* link = nullptr;  // Null: free.
    uint32_t generation = 1;
    Loop::TimerId timer = 0;
  };

  SimTransport(SimNet* net, SimLoop* loop, std::string address)
      : net_(net), loop_(loop), address_(std::move(address)) {}

  uint64_t StartCall(SimLink* link, Instant deadline, PeerDone done);
  // Nothing where it has ended already.
  void FinishCall(uint64_t call, PeerResult result);
  void FailCallsOf(SimLink* link, const absl::Status& status);

  SimNet* net_;
  SimLoop* loop_;
  std::string address_;
  SimNet::Instance instance_ = 0;
  NodeId id_;
  Handler handler_;
  bool dies_silently_ = false;
  uint32_t pauses_ = 0;
  std::vector<Call> calls_;
  std::vector<uint32_t> free_calls_;
};

// A message in short: a hash of every field, for the trace; and about how many bytes it has.
struct Gist {
  uint64_t hash = 0;
  uint64_t bytes = 0;
};
Gist GistOf(const PeerRequest& request);
Gist GistOf(const PeerResult& result);

}  // namespace annulus::sim
