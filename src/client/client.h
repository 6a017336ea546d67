#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "annulus/admin/v1/admin.grpc.pb.h"
#include "annulus/kv/v1/kv.grpc.pb.h"
#include "client/failure.h"
#include "grpcpp/channel.h"

namespace annulus {

struct ClientOptions {
  std::vector<std::string> endpoints;  // host:port, tried in this order.
  // One call with all its retries; for a scan, the longest silence.
  std::chrono::milliseconds timeout{10'000};
  // For one endpoint to accept a connection, before the next is tried.
  std::chrono::milliseconds connect_timeout{2'000};
  // Calls beyond the first, where the first may have failed by accident. With 0 a call is one RPC.
  int retries = 5;
};

// A channel that connects to nothing but this address (no proxy from the environment), tries again
// within a second, and makes no retries of its own: retries are counted here.
std::shared_ptr<grpc::Channel> OpenChannel(const std::string& endpoint);

// Until it is connected. False at the first refusal, or at the deadline.
bool AwaitConnected(grpc::Channel& channel, std::chrono::system_clock::time_point deadline);

// Blocking calls over several endpoints. One that accepts no connection is skipped, which costs no
// RPC. A call that failed by accident is repeated, at the next endpoint where the first is to
// blame; a write only ever under the same request_id. Safe to use from several threads.
class Client {
 public:
  explicit Client(ClientOptions options);

  // Writes without a request_id are given one, in place, so that the caller can name it afterwards.
  absl::StatusOr<kv::v1::PutResponse> Put(kv::v1::PutRequest& request);
  absl::StatusOr<kv::v1::DeleteResponse> Delete(kv::v1::DeleteRequest& request);
  absl::StatusOr<kv::v1::GetResponse> Get(const kv::v1::GetRequest& request);
  absl::StatusOr<admin::v1::LayoutResponse> Layout();
  absl::StatusOr<admin::v1::LocateResponse> Locate(const admin::v1::LocateRequest& request);
  absl::StatusOr<admin::v1::RepairResponse> Repair(const admin::v1::RepairRequest& request);

  // Calls `page` with each part in order, until it returns false or the scan has ended. After a
  // failure the scan goes on behind the last part, so nothing is seen twice.
  absl::Status Scan(kv::v1::ScanRequest request,
                    const std::function<bool(const kv::v1::ScanResponse&)>& page);

  const ClientOptions& options() const { return options_; }

 private:
  struct Connection {
    std::string endpoint;
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<kv::v1::KVStore::Stub> kv;
    std::unique_ptr<admin::v1::Admin::Stub> admin;
  };
  using Deadline = std::chrono::system_clock::time_point;

  // The first endpoint, from the preferred one on, that accepts a connection.
  absl::StatusOr<Connection*> Connect(Deadline deadline, CallKind kind);
  // The next call starts behind this one.
  void Avoid(const Connection* connection);
  template <class Call>
  absl::Status WithRetries(CallKind kind, const Call& call);
  grpc::Status ScanOnce(Connection& connection, const kv::v1::ScanRequest& request,
                        const std::function<bool(const kv::v1::ScanResponse&)>& page,
                        bool* stopped);

  const ClientOptions options_;
  std::vector<Connection> connections_;
  std::mutex mutex_;
  size_t preferred_ = 0;  // Guarded by mutex_.
};

// One process of several, without failover.
absl::StatusOr<admin::v1::StatusResponse> StatusOf(const std::string& endpoint,
                                                   std::chrono::milliseconds timeout);

// The faults of one process, without failover and retries; UNAVAILABLE where it cannot be reached.
absl::StatusOr<admin::v1::SetFaultsResponse> SetFaults(const std::string& endpoint,
                                                       const admin::v1::SetFaultsRequest& request,
                                                       std::chrono::milliseconds timeout);
absl::StatusOr<admin::v1::GetFaultsResponse> GetFaults(const std::string& endpoint,
                                                       std::chrono::milliseconds timeout);

// Before the n-th retry (from 1): grows to a second, with jitter; never less than the server asked
// for.
std::chrono::milliseconds RetryDelay(int retry, const absl::Status& status);

}  // namespace annulus
