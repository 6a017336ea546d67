#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "annulus/kv/v1/kv.pb.h"
#include "client/session.h"

namespace annulus {

struct PipelineOptions {
  // timeout is here that of one attempt of one operation.
  ClientOptions client;
  // What may be under way at once: Start() waits for room.
  size_t operations_max = 512;
  size_t bytes_max = 32u << 20;
  // As in SessionOptions; off, since whoever names coordinators expects that the death of a node
  // costs nothing, and what is under way at a node dies with it.
  bool finds_owners = false;
};

// A Session on a thread of its own, for callers that wait. Every operation is answered exactly once
// through its callback.
//
// Start() is called by one thread, or from callbacks (StartChained()).
class Pipeline {
 public:
  // The result is that of a put, get or delete; a failure is a status. Runs on the session's thread
  // and should be short.
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
  struct Request {
    kv::v1::Operation operation;
    Callback done;
  };

  void Enqueue(kv::v1::Operation operation, Callback done);
  // On the loop.
  void TakeOver();
  void Run(Request request);
  void NoteLanes();

  const PipelineOptions options_;
  CqLoop loop_;
  std::unique_ptr<Session> session_;  // The loop's thread's.
  std::thread thread_;

  mutable std::mutex mutex_;
  // Below: guarded by mutex_.
  std::condition_variable changed_;    // There is more room; or the lanes have changed.
  std::vector<Request> requests_;      // For the session.
  size_t operations_ = 0, bytes_ = 0;  // From Start to the callback's return.
  size_t lanes_up_ = 0;
  bool decided_ = false;
  uint64_t retried_ = 0;
  std::vector<std::string> unreachable_;
};

}  // namespace annulus
