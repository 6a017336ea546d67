#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "adapters/loop/cq_loop.h"
#include "annulus/admin/v1/admin.pb.h"
#include "annulus/kv/v1/kv.pb.h"
#include "client/client.h"
#include "client/routes.h"
#include "client/unary_call.h"

namespace annulus {

// The RPC that carries operations.
enum class Door : uint8_t {
  kPipeline,  // One stream to each endpoint; whatever is ready leaves in the next message.
  kUnary,     // One Put, Get or Delete each.
  kBatch,     // What is ready, in Batches of at most `batch_operations`.
};

struct SessionOptions {
  // timeout is here that of one attempt of one operation.
  ClientOptions client;
  Door door = Door::kPipeline;
  size_t batch_operations = 128;
  // What all endpoints may have under way together; the rest waits in the session.
  size_t operations_max = 512;
  // Learns the layout and sends each operation to an owner of its item, also to members that
  // `client.endpoints` does not name, where they can be reached. False: those endpoints alone.
  bool finds_owners = true;
};

// The smart client: many operations at once, on one loop, over every endpoint. Every operation is
// answered exactly once.
//
//   Start(op) -> ready -+-> lane 1: outbox -> message under way -> answer -> callback
//                       +-> lane 2: ...
//   failed by accident -> waits its delay -> ready (same request_id)
//
// An operation goes to the first owner of its item that is up and has room, then to whichever lane
// has most room. So a slow endpoint gets less and a dead one nothing. An operation whose endpoint
// died before it was written has not been tried, and goes to another lane at no cost; one that was
// under way has failed, and is repeated where retries are left.
//
// All calls and callbacks: on the loop's thread.
class Session {
 public:
  // The result is that of a put, get or delete; a failure is a status. It may start operations.
  using Callback = absl::AnyInvocable<void(absl::StatusOr<kv::v1::OperationResult>)>;

  // The loop outlives it, and everything that it started there (~CqLoop waits for that).
  Session(CqLoop* loop, SessionOptions options);
  // Answers what is still under way: it has failed. REQUIRES: not from a callback.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // A write without a request_id is given one.
  void Start(kv::v1::Operation operation, Callback done);

  // Up to `limit` items, which is to be set, in one answer; tried once.
  using ScanCallback = absl::AnyInvocable<void(absl::StatusOr<kv::v1::ScanResponse>)>;
  void Scan(kv::v1::ScanRequest request, ScanCallback done);

  // What has been started and not answered; without scans.
  size_t operations() const { return operations_; }
  // Attempts beyond the first.
  uint64_t retried() const { return retried_; }

  // Lanes with a connection.
  size_t lanes_up() const;
  // Every endpoint that was named has accepted or refused a connection.
  bool decided() const;
  // Endpoints that were named and have no connection now.
  std::vector<std::string> Unreachable() const;
  // Whether operations find their owners by now.
  bool knows_owners() const { return !routes_.empty(); }
  // Called whenever one of the four above may have changed.
  void set_on_change(std::function<void()> on_change) { on_change_ = std::move(on_change); }

 private:
  class Lane;
  class Stream;
  class ScanCall;

  struct Pending {
    kv::v1::Operation operation;
    Callback done;
    size_t bytes = 0;
    int32_t partition = -1;
    int32_t lane = -1;   // Where it is, in an outbox or under way.
    int32_t avoid = -1;  // The lane that failed it last.
    int32_t attempts = 0;
    uint32_t generation = 0;
    CallKind kind = CallKind::kRead;
    bool sent = false;
    bool maybe_applied = false;  // An earlier attempt of a write ended UNKNOWN.
  };
  // Slot and generation, another one for each attempt: what comes late finds nothing.
  using Id = uint64_t;

  Id NewPending();
  Pending* Find(Id id);
  Pending& At(Id id) { return pending_[static_cast<uint32_t>(id)]; }

  void ScheduleFlush();
  // What is ready goes to lanes, and what lanes have leaves.
  void Flush();
  // The lane for it, of which none may have more than `share` under way; null where all have.
  Lane* Choose(const Pending& pending, size_t share) const;
  void Send(Lane* lane);
  void SendOnStream(Lane* lane);
  void SendTogether(Lane* lane, std::vector<Id> ids);
  void SendAlone(Lane* lane, Id id);
  template <class Response, class Prepare>
  void SendOne(Id id, const Prepare& prepare);
  void MarkSent(Id id);

  void Answered(Id id, kv::v1::OperationResult* result);
  // Ends the attempt: ready again after a delay, or answered.
  void AttemptFailed(Id id, absl::Status status);
  // It was not sent after all: ready again at once.
  void TakeBack(Id id);
  // The id of its next attempt; the old one finds nothing from here on.
  Id Renew(Id id);
  void Leave(Pending* pending);
  void Finish(Id id, absl::StatusOr<kv::v1::OperationResult> result);
  void FinishLater(Id id, absl::Status status);
  void StreamEnded(Lane* lane, const grpc::Status& status, const std::vector<Id>& unsent);

  // Connections, timeouts, and the end of hope when no lane is left.
  void Tick();
  // One lane's; true where it came up, or has refused.
  bool Look(Lane* lane, Instant now);
  void GiveUpHope();
  void Changed();

  Lane* AddLane(std::string endpoint, uint64_t expected_node);
  void AskWho(Lane* lane);
  void AskForLayout(Lane* lane);
  void Route();

  CqLoop* const loop_;
  const SessionOptions options_;
  std::function<void()> on_change_;
  // False once the session is gone: for jobs that outlive it on the loop.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  bool closing_ = false;

  std::vector<Pending> pending_;
  std::vector<uint32_t> free_;
  size_t operations_ = 0;
  uint64_t retried_ = 0;
  std::deque<Id> ready_;
  std::multimap<Instant, Id> delayed_;
  bool flush_scheduled_ = false;

  std::vector<std::unique_ptr<Lane>> lanes_;
  size_t named_lanes_ = 0;  // The first ones: those of `client.endpoints`.
  Call::Set calls_;
  Instant last_up_;
  Loop::TimerId tick_ = 0;

  admin::v1::LayoutResponse layout_;
  Routes routes_;  // From partitions to lanes.
};

}  // namespace annulus
