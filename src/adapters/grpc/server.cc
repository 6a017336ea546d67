#include "adapters/grpc/server.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/support/channel_arguments.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace annulus {
namespace {

int Millis(Duration duration) {
  return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

// "[::1]:80" -> "::1", "80"
bool SplitAddress(const std::string& address, std::string* host, std::string* port) {
  const size_t colon = address.rfind(':');
  uint32_t number = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &number) ||
      number > 65535) {
    return false;
  }
  *host = address.substr(0, colon);
  *port = address.substr(colon + 1);
  if (host->size() >= 2 && host->front() == '[' && host->back() == ']') {
    *host = host->substr(1, host->size() - 2);
  }
  return !host->empty();
}

// gRPC only says that it could not bind; a bind of our own says why.
std::string WhyNot(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
    return gai_strerror(error);
  }
  std::string why = "unknown reason";
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0) {
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, 1) != 0) {
      why = std::strerror(errno);
    }
    close(fd);
  }
  freeaddrinfo(found);
  return why;
}

}  // namespace

ServerOptions PublicServerOptions(std::string address) {
  return {.address = std::move(address), .setting = "listen_client"};
}

ServerOptions PeerServerOptions(std::string address) {
  ServerOptions options{.address = std::move(address), .setting = "listen_peer"};
  options.message_bytes_max = 64 << 20;
  options.keepalive_time = 2s;
  options.keepalive_timeout = 2s;
  options.probe_interval_min = 500ms;
  return options;
}

// What ServerBuilder does, on a queue that it did not make.
class GrpcServer::SharedQueueServer final : public grpc::Server {
 public:
  SharedQueueServer(grpc::ChannelArguments* args, grpc::ServerCompletionQueue* queue)
      : grpc::Server(args,
                     std::make_shared<std::vector<std::unique_ptr<grpc::ServerCompletionQueue>>>(),
                     /*min_pollers=*/0, /*max_pollers=*/0, /*sync_cq_timeout_msec=*/0,
                     /*acceptors=*/{}),
        queue_(queue) {
    grpc_server_register_completion_queue(c_server(), queue->cq(), nullptr);
  }

  int Listen(const std::string& address, const std::vector<grpc::Service*>& services) {
    for (grpc::Service* service : services) {
      ANNULUS_CHECK(RegisterService(nullptr, service));
    }
    const int port = AddListeningPort(address, grpc::InsecureServerCredentials().get());
    if (port > 0) Start(&queue_, 1);
    return port;
  }

 private:
  grpc::ServerCompletionQueue* queue_;
};

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(
    CqLoop* loop, const ServerOptions& options, const std::vector<grpc::Service*>& services) {
  std::string host;
  std::string port;
  if (!SplitAddress(options.address, &host, &port)) {
    return absl::InvalidArgumentError(absl::StrCat(options.setting, " = \"", options.address,
                                                   "\" is not host:port, like 0.0.0.0:50051"));
  }

  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(static_cast<int>(options.message_bytes_max));
  args.SetMaxSendMessageSize(-1);
  args.SetInt(GRPC_ARG_MAX_METADATA_SIZE, static_cast<int>(options.metadata_bytes_max));
  args.SetInt(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.streams_per_connection_max);
  args.SetInt(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, Millis(options.handshake_timeout));
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, Millis(options.keepalive_time));
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Millis(options.keepalive_timeout));
  args.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  args.SetInt(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
              Millis(options.probe_interval_min));
  // Two processes that share a port by mistake would each see half of the requests.
  args.SetInt(GRPC_ARG_ALLOW_REUSEPORT, 0);

  auto server = std::make_unique<SharedQueueServer>(&args, loop->queue());
  const int bound = server->Listen(options.address, services);
  if (bound <= 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot listen on ", options.address, ": ", WhyNot(host, port),
                     "; choose another address with the setting ", options.setting));
  }
  return std::unique_ptr<GrpcServer>(new GrpcServer(loop, std::move(server), bound));
}

GrpcServer::GrpcServer(CqLoop* loop, std::unique_ptr<SharedQueueServer> server, int port)
    : loop_(loop), server_(std::move(server)), port_(port) {}

GrpcServer::~GrpcServer() {
  if (closer_.joinable()) closer_.join();
}

void GrpcServer::Shutdown(Duration grace, Job done) {
  ANNULUS_CHECK(!closer_.joinable());
  // grpc::Server::Shutdown waits for the calls, whose ends are events of the loop: on the loop's
  // own thread it would wait for itself.
  closer_ = std::thread([this, grace, done = std::move(done)]() mutable {
    server_->Shutdown(std::chrono::system_clock::now() +
                      std::chrono::duration_cast<std::chrono::system_clock::duration>(grace));
    loop_->Post(std::move(done));
  });
}

}  // namespace annulus
