#include "cql_connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace annulus::peers {
namespace {

// Cassandra answers late requests with an error after 2 to 10 s. A node that says nothing for
// longer, while a load goes on, is gone.
constexpr timeval kSilenceMax = {.tv_sec = 30, .tv_usec = 0};

absl::Status Failed(const char* what, const std::string& endpoint) {
  return absl::ErrnoToStatus(errno, absl::StrCat(what, " ", endpoint));
}

std::optional<sockaddr_in> Parse(const std::string& endpoint) {
  const size_t colon = endpoint.rfind(':');
  uint32_t port = 0;
  sockaddr_in address = {.sin_family = AF_INET};
  if (colon == std::string::npos || !absl::SimpleAtoi(endpoint.substr(colon + 1), &port) ||
      port > UINT16_MAX ||
      inet_pton(AF_INET, endpoint.substr(0, colon).c_str(), &address.sin_addr) != 1) {
    return std::nullopt;
  }
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

}  // namespace

CqlConnection::~CqlConnection() {
  if (socket_ < 0) return;
  shutdown(socket_, SHUT_RDWR);  // Ends the reader's wait.
  if (reader_.joinable()) reader_.join();
  close(socket_);
}

absl::Status CqlConnection::Open(const std::string& endpoint) {
  endpoint_ = endpoint;
  const std::optional<sockaddr_in> address = Parse(endpoint);
  if (!address) return absl::InvalidArgumentError(absl::StrCat("no IPv4 endpoint: ", endpoint));
  socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket_ < 0) return Failed("socket for", endpoint_);
  const int no_delay = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &no_delay, sizeof no_delay);
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &kSilenceMax, sizeof kSilenceMax);
  if (connect(socket_, reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) {
    return Failed("connect to", endpoint_);
  }
  Bytes request;
  cql::PutStartup(&request, 0);
  return Ask(request).status();
}

absl::Status CqlConnection::Query(BytesView query) {
  Bytes request;
  cql::PutQuery(&request, 0, query);
  return Ask(request).status();
}

absl::StatusOr<Bytes> CqlConnection::Prepare(BytesView query) {
  Bytes request;
  cql::PutPrepare(&request, 0, query);
  absl::StatusOr<cql::Answer> answer = Ask(request);
  if (!answer.ok()) return answer.status();
  return std::move(answer->prepared_id);
}

absl::StatusOr<cql::Answer> CqlConnection::Ask(BytesView request) {
  if (absl::Status sent = Send(request); !sent.ok()) return sent;
  absl::StatusOr<std::vector<Reply>> replies = Receive();
  if (!replies.ok()) return replies.status();
  return std::move(replies->front().answer);
}

absl::Status CqlConnection::Send(BytesView bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR) return Failed("send to", endpoint_);
    bytes.remove_prefix(static_cast<size_t>(std::max<ssize_t>(sent, 0)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<CqlConnection::Reply>> CqlConnection::Receive() {
  std::vector<Reply> replies;
  while (replies.empty()) {
    char chunk[1 << 16];
    const ssize_t size = recv(socket_, chunk, sizeof chunk, 0);
    if (size == 0) return absl::UnavailableError(absl::StrCat(endpoint_, " closed the connection"));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return Failed("receive from", endpoint_);
    received_.append(chunk, static_cast<size_t>(size));

    BytesView rest = received_;
    while (true) {
      const absl::StatusOr<std::optional<cql::Frame>> frame = cql::FirstFrame(rest);
      if (!frame.ok()) return frame.status();
      if (!frame->has_value()) break;
      replies.push_back({(*frame)->stream, cql::Decode(**frame)});
      rest.remove_prefix((*frame)->bytes());
    }
    received_.erase(0, received_.size() - rest.size());
  }
  return replies;
}

void CqlConnection::Start() {
  reader_ = std::thread([this] { ReadUntilClosed(); });
}

void CqlConnection::ReadUntilClosed() {
  while (true) {
    absl::StatusOr<std::vector<Reply>> replies = Receive();
    if (!replies.ok()) {
      return loop_->Post([this, why = replies.status()] { Lose(why); });
    }
    loop_->Post([this, replies = *std::move(replies)]() mutable { Deliver(std::move(replies)); });
  }
}

void CqlConnection::Execute(BytesView id, std::initializer_list<BytesView> values, Done done) {
  absl::Status refused = lost_;
  if (refused.ok() && free_streams_.empty() && under_way_.size() == cql::kStreams) {
    refused = absl::ResourceExhaustedError("no stream is free");
  }
  if (!refused.ok()) {
    return loop_->Post([refused, done = std::move(done)]() mutable { done(refused); });
  }
  if (free_streams_.empty()) {
    free_streams_.push_back(static_cast<uint16_t>(under_way_.size()));
    under_way_.emplace_back();
  }
  const uint16_t stream = free_streams_.back();
  free_streams_.pop_back();
  under_way_[stream] = std::move(done);
  if (outgoing_.empty()) loop_->AtTurnEnd([this] { Flush(); });
  cql::PutExecute(&outgoing_, stream, id, values);
}

// It may wait for room, which comes as long as the reader takes what the node answers.
void CqlConnection::Flush() {
  const absl::Status sent = Send(std::exchange(outgoing_, {}));
  if (!sent.ok()) Lose(sent);
}

void CqlConnection::Deliver(std::vector<Reply> replies) {
  for (const Reply& reply : replies) {
    if (!lost_.ok()) return;
    if (reply.stream >= under_way_.size() || under_way_[reply.stream] == nullptr) {
      return Lose(absl::DataLossError(
          absl::StrCat(endpoint_, " answers on stream ", reply.stream,
                       ", where nobody asks: ", reply.answer.status().ToString())));
    }
    Done done = std::exchange(under_way_[reply.stream], nullptr);
    free_streams_.push_back(reply.stream);
    done(reply.answer);
  }
}

void CqlConnection::Lose(const absl::Status& why) {
  if (!lost_.ok()) return;
  lost_ = why;
  std::fprintf(stderr, "%s\n",
               why.ToString().c_str());  // The failures that follow are counted only.
  for (Done& done : std::exchange(under_way_, {})) {
    if (done != nullptr) done(why);
  }
}

}  // namespace annulus::peers
