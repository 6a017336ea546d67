#include "cli/http_get.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cli/endpoints.h"

namespace annulus::cli {
namespace {

using Clock = std::chrono::steady_clock;

bool WaitFor(int fd, short events, Clock::time_point deadline) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  if (left <= 0) return false;
  pollfd poller{fd, events, 0};
  return poll(&poller, 1, static_cast<int>(left)) > 0;
}

// A connected, non-blocking socket, or -1 with errno.
int Connect(const addrinfo& address, Clock::time_point deadline) {
  const int fd = socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  if (connect(fd, address.ai_addr, address.ai_addrlen) == 0) return fd;
  int error = errno;
  if (error == EINPROGRESS) {
    error = ETIMEDOUT;
    if (WaitFor(fd, POLLOUT, deadline)) {
      socklen_t size = sizeof(error);
      getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
      if (error == 0) return fd;
    }
  }
  close(fd);
  errno = error;
  return -1;
}

absl::StatusOr<HttpAnswer> Converse(int fd, const std::string& request,
                                    Clock::time_point deadline) {
  const auto silent = [] { return absl::UnavailableError("no answer in time"); };
  size_t sent = 0;
  while (sent < request.size()) {
    if (!WaitFor(fd, POLLOUT, deadline)) return silent();
    const ssize_t n = send(fd, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return absl::UnavailableError(std::strerror(errno));
    if (n > 0) sent += n;
  }
  std::string answer;
  char buffer[4096];
  while (answer.size() < (64u << 10)) {
    if (!WaitFor(fd, POLLIN, deadline)) return silent();
    const ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
    if (n < 0 && errno == EAGAIN) continue;
    if (n < 0) return absl::UnavailableError(std::strerror(errno));
    if (n == 0) break;
    answer.append(buffer, n);
  }
  HttpAnswer result;
  const size_t blank = answer.find(' ');
  if (answer.compare(0, 5, "HTTP/") != 0 || blank == std::string::npos ||
      !absl::SimpleAtoi(answer.substr(blank + 1, 3), &result.code)) {
    return absl::UnavailableError("the answer is not HTTP");
  }
  const size_t body = answer.find("\r\n\r\n");
  if (body != std::string::npos) result.body = answer.substr(body + 4);
  return result;
}

}  // namespace

absl::StatusOr<HttpAnswer> HttpGet(const std::string& address, const std::string& path,
                                   std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  auto parsed = ParseHostPort(address);
  if (!parsed.ok()) return parsed.status();
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error =
          getaddrinfo(parsed->host.c_str(), absl::StrCat(parsed->port).c_str(), &hints, &found);
      error != 0) {
    return absl::UnavailableError(absl::StrCat(address, ": ", gai_strerror(error)));
  }
  int fd = -1;
  for (addrinfo* each = found; each != nullptr && fd < 0; each = each->ai_next) {
    fd = Connect(*each, deadline);
  }
  const int error = errno;
  freeaddrinfo(found);
  if (fd < 0) return absl::UnavailableError(absl::StrCat(address, ": ", std::strerror(error)));
  auto answer = Converse(
      fd,
      absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: ", address, "\r\nConnection: close\r\n\r\n"),
      deadline);
  close(fd);
  if (!answer.ok()) {
    return absl::Status(answer.status().code(),
                        absl::StrCat(address, ": ", answer.status().message()));
  }
  return answer;
}

}  // namespace annulus::cli
