#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/check.h"

namespace annulus {

// A TCP proxy on loopback, which can stop forwarding and stay silent: to
// both ends the connection stands, as it does when a cable is cut.
class StallingProxy {
 public:
  explicit StallingProxy(int target_port) : target_port_(target_port) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = Loopback(0);
    ANNULUS_CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    ANNULUS_CHECK(listen(listener_, 8) == 0);
    socklen_t size = sizeof(address);
    ANNULUS_CHECK(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~StallingProxy() {
    ended_ = true;
    thread_.join();
    close(listener_);
  }

  int port() const { return port_; }
  // While stalled, nothing is read, forwarded, accepted or closed.
  void Stall(bool stalled) { stalled_ = stalled; }

 private:
  static sockaddr_in Loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    return address;
  }

  // Returns false where the connection has ended.
  static bool Forward(int from, int to) {
    char buffer[65536];
    const ssize_t got = read(from, buffer, sizeof(buffer));
    if (got <= 0) return false;
    for (ssize_t sent = 0; sent < got;) {
      const ssize_t n = send(to, buffer + sent, static_cast<size_t>(got - sent), MSG_NOSIGNAL);
      if (n <= 0) return false;
      sent += n;
    }
    return true;
  }

  void Run() {
    struct Pair {
      int near;
      int far;
    };
    std::vector<Pair> pairs;
    while (!ended_) {
      if (stalled_) {
        poll(nullptr, 0, 5);
        continue;
      }
      std::vector<pollfd> fds{{listener_, POLLIN, 0}};
      for (const Pair& pair : pairs) {
        fds.push_back({pair.near, POLLIN, 0});
        fds.push_back({pair.far, POLLIN, 0});
      }
      if (poll(fds.data(), fds.size(), 5) <= 0 || stalled_) continue;
      std::vector<Pair> kept;
      for (size_t i = 0; i < pairs.size(); ++i) {
        const Pair pair = pairs[i];
        bool stands = true;
        if (fds[1 + 2 * i].revents != 0) stands = Forward(pair.near, pair.far);
        if (stands && fds[2 + 2 * i].revents != 0) stands = Forward(pair.far, pair.near);
        if (stands) {
          kept.push_back(pair);
        } else {
          close(pair.near);
          close(pair.far);
        }
      }
      pairs = std::move(kept);
      if (fds[0].revents != 0) {
        const int near = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        const int far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address = Loopback(target_port_);
        if (near >= 0 &&
            connect(far, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
          pairs.push_back({near, far});
        } else {
          if (near >= 0) close(near);
          close(far);
        }
      }
    }
    for (const Pair& pair : pairs) {
      close(pair.near);
      close(pair.far);
    }
  }

  const int target_port_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stalled_{false};
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

}  // namespace annulus
