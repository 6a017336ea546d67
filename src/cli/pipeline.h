#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "annulus/kv/v1/kv.grpc.pb.h"
#include "cli/client.h"

namespace annulus::cli {

struct PipelineOptions {
  // timeout is here that of one attempt of one operation.
  ClientOptions client;
  // What may be under way at once: Start() waits for room.
  size_t operations_max = 512;
  size_t bytes_max = 32u << 20;
};

// Many operations at once, over one stream to each endpoint. Every operation is answered exactly
// once through its callback.
//
//   caller      Start(op) -> ready queue -+-> lane 1: writer => stream => reader -> callback
//                                         +-> lane 2: ...
//   failed by accident -> waits its delay -> ready queue (same request_id)
//
// Lanes take from the queue as they have room, so a slow endpoint gets less and a dead one nothing.
// An operation whose endpoint died before it was written has not been tried, and goes to another
// lane at no cost; one that was under way has failed, and is repeated where retries are left.
//
// Start() is called by one thread, or from callbacks (StartChained()).
class Pipeline {
 public:
  // The result is that of a put, get or delete; a failure is a status. Runs on one of the
  // pipeline's threads and should be short.
  using Callback = std::function<void(absl::StatusOr<kv::v1::OperationResult>)>;

  explicit Pipeline(PipelineOptions options);
  // Fails what is still under way.
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  // Waits for the connections: for one as long as it takes, for the others a moment more.
  // UNREACHABLE where every endpoint refuses.
  absl::Status Connect();

  // Waits for room, then starts. A write without a request_id is given one.
  void Start(kv::v1::Operation operation, Callback done);
  // From a callback: the next step of what that callback ends. Never waits.
  void StartChained(kv::v1::Operation operation, Callback done);
  // Until every operation, chained ones included, has been answered.
  void Drain();

  // Attempts beyond the first.
  uint64_t retried() const;
  // Endpoints without a connection now.
  std::vector<std::string> Unreachable() const;

 private:
  using Clock = std::chrono::steady_clock;

  struct Pending {
    kv::v1::Operation operation;
    Callback done;
    size_t bytes = 0;
    CallKind kind = CallKind::kRead;
    int attempts = 0;            // Written to a stream.
    bool maybe_applied = false;  // An earlier attempt of a write ended UNKNOWN.
    size_t avoid = SIZE_MAX;     // The lane that failed it last.
    Clock::time_point sent;
  };
  using PendingPtr = std::unique_ptr<Pending>;

  // One endpoint. All members but the first three are guarded by the pipeline's mutex.
  struct Lane {
    std::string endpoint;
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<kv::v1::KVStore::Stub> stub;
    bool up = false;
    bool refused = false;  // The last attempt to connect failed.
    bool proven = true;  // Has answered since it last failed; until then it is given one operation.
    bool broken = false;                       // The reader saw the stream's end.
    grpc::ClientContext* context = nullptr;    // Of the stream, while there is one.
    std::map<uint64_t, PendingPtr> under_way;  // By id: in the order of sending.
    Clock::time_point heard;
    std::thread thread;
  };

  void Enqueue(kv::v1::Operation operation, Callback done);
  void RunLane(size_t index);
  // One stream, from its start to its end.
  grpc::Status RunStream(size_t index);
  // Moves operations from the queue to the lane and into `request`, as many as there is room for.
  bool Take(size_t index, kv::v1::PipelineRequest* request);
  bool HasWork(size_t index) const;
  void Read(size_t index,
            grpc::ClientReaderWriter<kv::v1::PipelineRequest, kv::v1::PipelineResponse>& stream);
  // Ends the attempt: queued again after a delay, or answered.
  void AttemptFailed(PendingPtr pending, size_t lane, absl::Status status);
  void Finish(PendingPtr pending, absl::StatusOr<kv::v1::OperationResult> result);
  // Delays, timeouts, and the end of hope when no endpoint is left.
  void RunTimer();
  size_t LanesUp() const;

  const PipelineOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable room_;     // Under way has shrunk; or a lane has come up or been refused.
  std::condition_variable work_;     // Queue, lanes or stopping have changed.
  std::condition_variable stopped_;  // For the timer.
  std::deque<PendingPtr> ready_;
  std::multimap<Clock::time_point, PendingPtr> delayed_;
  size_t operations_ = 0, bytes_ = 0;  // From Start to the callback's return.
  uint64_t next_id_ = 1;
  uint64_t retried_ = 0;
  Clock::time_point last_up_;
  bool stopping_ = false;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::thread timer_;
};

}  // namespace annulus::cli
