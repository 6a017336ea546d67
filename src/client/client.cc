#include "client/client.h"

#include <algorithm>
#include <condition_variable>
#include <thread>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/request_id.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"

namespace annulus {

using std::chrono::milliseconds;
using std::chrono::system_clock;

std::shared_ptr<grpc::Channel> OpenChannel(const std::string& endpoint) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // A pipeline answers several reads in one message.
  arguments.SetMaxReceiveMessageSize(64 << 20);
  return grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), arguments);
}

bool AwaitConnected(grpc::Channel& channel, system_clock::time_point deadline) {
  for (;;) {
    const grpc_connectivity_state state = channel.GetState(/*try_to_connect=*/true);
    if (state == GRPC_CHANNEL_READY) return true;
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN) return false;
    if (!channel.WaitForStateChange(state, deadline)) return false;
  }
}

milliseconds RetryDelay(int retry, const absl::Status& status) {
  thread_local absl::BitGen generator;
  const int64_t longest = std::min<int64_t>(1000, 25LL << std::min(retry, 10));
  const milliseconds jittered(absl::Uniform<int64_t>(generator, longest / 2, longest + 1));
  const auto asked = std::chrono::duration_cast<milliseconds>(DetailsOf(status).retry_after);
  return std::max(jittered, asked);
}

Client::Client(ClientOptions options) : options_(std::move(options)) {
  for (const std::string& endpoint : options_.endpoints) {
    Connection connection;
    connection.endpoint = endpoint;
    connection.channel = OpenChannel(endpoint);
    connection.kv = kv::v1::KVStore::NewStub(connection.channel);
    connection.admin = admin::v1::Admin::NewStub(connection.channel);
    connections_.push_back(std::move(connection));
  }
}

absl::StatusOr<Client::Connection*> Client::Connect(Deadline deadline, CallKind kind) {
  size_t first;
  {
    std::lock_guard lock(mutex_);
    first = preferred_;
  }
  for (size_t i = 0; i < connections_.size(); ++i) {
    Connection& connection = connections_[(first + i) % connections_.size()];
    const auto until = std::min(deadline, system_clock::now() + options_.connect_timeout);
    if (AwaitConnected(*connection.channel, until)) return &connection;
  }
  return UnreachableError(
      absl::StrCat("no connection to ", absl::StrJoin(options_.endpoints, ", ")), kind);
}

void Client::Avoid(const Connection* connection) {
  std::lock_guard lock(mutex_);
  preferred_ = (connection - connections_.data() + 1) % connections_.size();
}

template <class Call>
absl::Status Client::WithRetries(CallKind kind, const Call& call) {
  const auto deadline = system_clock::now() + options_.timeout;
  bool maybe_applied = false;
  absl::Status last;
  for (int attempt = 0;; ++attempt) {
    auto connection = Connect(deadline, kind);
    if (!connection.ok()) {
      if (attempt == 0) return connection.status();
      const auto delay = RetryDelay(attempt, last);
      if (attempt >= options_.retries || system_clock::now() + delay >= deadline) {
        // What an earlier attempt said tells more than that now nobody is there at all.
        return WithEarlierOutcome(last, maybe_applied);
      }
      std::this_thread::sleep_for(delay);
      continue;
    }
    grpc::ClientContext context;
    context.set_deadline(deadline);
    last = FromGrpc(call(**connection, &context), kind);
    if (last.ok()) return last;
    maybe_applied = maybe_applied || DetailsOf(last).outcome == Outcome::kUnknown;
    if (BlamesEndpoint(last)) Avoid(*connection);
    const auto delay = RetryDelay(attempt + 1, last);
    if (attempt >= options_.retries || !WorthRetrying(last) ||
        system_clock::now() + delay >= deadline) {
      return WithEarlierOutcome(last, maybe_applied);
    }
    std::this_thread::sleep_for(delay);
  }
}

absl::StatusOr<kv::v1::PutResponse> Client::Put(kv::v1::PutRequest& request) {
  if (request.options().request_id().empty()) {
    request.mutable_options()->set_request_id(NewRequestId());
  }
  kv::v1::PutResponse response;
  const absl::Status status =
      WithRetries(CallKind::kWrite, [&](Connection& connection, grpc::ClientContext* context) {
        return connection.kv->Put(context, request, &response);
      });
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<kv::v1::DeleteResponse> Client::Delete(kv::v1::DeleteRequest& request) {
  if (request.options().request_id().empty()) {
    request.mutable_options()->set_request_id(NewRequestId());
  }
  kv::v1::DeleteResponse response;
  const absl::Status status =
      WithRetries(CallKind::kWrite, [&](Connection& connection, grpc::ClientContext* context) {
        return connection.kv->Delete(context, request, &response);
      });
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<kv::v1::GetResponse> Client::Get(const kv::v1::GetRequest& request) {
  kv::v1::GetResponse response;
  const absl::Status status =
      WithRetries(CallKind::kRead, [&](Connection& connection, grpc::ClientContext* context) {
        return connection.kv->Get(context, request, &response);
      });
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<admin::v1::LayoutResponse> Client::Layout() {
  admin::v1::LayoutResponse response;
  const absl::Status status =
      WithRetries(CallKind::kRead, [&](Connection& connection, grpc::ClientContext* context) {
        return connection.admin->Layout(context, {}, &response);
      });
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<admin::v1::LocateResponse> Client::Locate(const admin::v1::LocateRequest& request) {
  admin::v1::LocateResponse response;
  const absl::Status status =
      WithRetries(CallKind::kRead, [&](Connection& connection, grpc::ClientContext* context) {
        return connection.admin->Locate(context, request, &response);
      });
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<admin::v1::RepairResponse> Client::Repair(const admin::v1::RepairRequest& request) {
  admin::v1::RepairResponse response;
  const absl::Status status =
      WithRetries(CallKind::kRead, [&](Connection& connection, grpc::ClientContext* context) {
        return connection.admin->Repair(context, request, &response);
      });
  if (!status.ok()) return status;
  return response;
}

namespace {

// Cancels a call that is silent for too long: a blocking Read has no deadline of its own.
class Watchdog {
 public:
  Watchdog(grpc::ClientContext* context, milliseconds silence_max)
      : context_(context), silence_max_(silence_max), thread_([this] { Watch(); }) {}
  ~Watchdog() {
    {
      std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  // While the caller itself is busy, silence is not the server's.
  void SetPaused(bool paused) {
    std::lock_guard lock(mutex_);
    paused_ = paused;
    ++heard_;
  }
  bool barked() {
    std::lock_guard lock(mutex_);
    return barked_;
  }

 private:
  void Watch() {
    std::unique_lock lock(mutex_);
    while (!ended_) {
      const uint64_t before = heard_;
      if (changed_.wait_for(lock, silence_max_, [&] { return ended_; })) return;
      if (heard_ == before && !paused_) {
        barked_ = true;
        context_->TryCancel();
        return;
      }
    }
  }

  grpc::ClientContext* const context_;
  const milliseconds silence_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t heard_ = 0;
  bool paused_ = false;
  bool ended_ = false;
  bool barked_ = false;
  std::thread thread_;  // Last: it starts when all else is there.
};

}  // namespace

grpc::Status Client::ScanOnce(Connection& connection, const kv::v1::ScanRequest& request,
                              const std::function<bool(const kv::v1::ScanResponse&)>& page,
                              bool* stopped) {
  grpc::ClientContext context;
  Watchdog watchdog(&context, options_.timeout);
  auto reader = connection.kv->Scan(&context, request);
  kv::v1::ScanResponse response;
  while (reader->Read(&response)) {
    watchdog.SetPaused(true);
    const bool go_on = page(response);
    watchdog.SetPaused(false);
    if (!go_on) {
      *stopped = true;
      context.TryCancel();
      reader->Finish();
      return grpc::Status::OK;
    }
  }
  grpc::Status status = reader->Finish();
  if (!status.ok() && watchdog.barked()) {
    return grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "no answer in time");
  }
  return status;
}

absl::Status Client::Scan(kv::v1::ScanRequest request,
                          const std::function<bool(const kv::v1::ScanResponse&)>& page) {
  int failures = 0;  // Since the last progress.
  const bool limited = request.limit() > 0;
  for (;;) {
    auto connection = Connect(system_clock::now() + options_.timeout, CallKind::kRead);
    if (!connection.ok()) return connection.status();
    bool stopped = false, ended = false;
    const grpc::Status status = ScanOnce(
        **connection, request,
        [&](const kv::v1::ScanResponse& response) {
          failures = 0;
          const bool go_on = page(response);
          request.set_page_token(response.page_token());
          ended = response.page_token().empty();
          if (limited) {
            const uint64_t got = response.items_size();
            if (got >= request.limit()) {
              ended = true;
            } else {
              request.set_limit(request.limit() - got);
            }
          }
          return go_on;
        },
        &stopped);
    if (status.ok() || stopped || ended) return absl::OkStatus();
    const absl::Status failure = FromGrpc(status, CallKind::kRead);
    if (++failures > options_.retries || !WorthRetrying(failure)) return failure;
    if (BlamesEndpoint(failure)) Avoid(*connection);
    std::this_thread::sleep_for(RetryDelay(failures, failure));
  }
}

namespace {

// One call to the admin service of one process.
template <class Request, class Response>
absl::StatusOr<Response> AskOne(const std::string& endpoint, const Request& request,
                                milliseconds timeout,
                                grpc::Status (admin::v1::Admin::Stub::*method)(grpc::ClientContext*,
                                                                               const Request&,
                                                                               Response*)) {
  const auto deadline = system_clock::now() + timeout;
  const auto channel = OpenChannel(endpoint);
  if (!AwaitConnected(*channel, deadline)) {
    return UnreachableError(absl::StrCat("no connection to ", endpoint), CallKind::kRead);
  }
  grpc::ClientContext context;
  context.set_deadline(deadline);
  Response response;
  const grpc::Status status =
      (admin::v1::Admin::NewStub(channel).get()->*method)(&context, request, &response);
  if (!status.ok()) return FromGrpc(status, CallKind::kRead);
  return response;
}

}  // namespace

absl::StatusOr<admin::v1::StatusResponse> StatusOf(const std::string& endpoint,
                                                   milliseconds timeout) {
  return AskOne(endpoint, admin::v1::StatusRequest(), timeout, &admin::v1::Admin::Stub::Status);
}

absl::StatusOr<admin::v1::SetFaultsResponse> SetFaults(const std::string& endpoint,
                                                       const admin::v1::SetFaultsRequest& request,
                                                       milliseconds timeout) {
  return AskOne(endpoint, request, timeout, &admin::v1::Admin::Stub::SetFaults);
}

absl::StatusOr<admin::v1::GetFaultsResponse> GetFaults(const std::string& endpoint,
                                                       milliseconds timeout) {
  return AskOne(endpoint, admin::v1::GetFaultsRequest(), timeout,
                &admin::v1::Admin::Stub::GetFaults);
}

}  // namespace annulus
