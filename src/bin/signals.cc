#include "bin/signals.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstring>
#include <utility>

namespace annulus {
namespace {

sigset_t Awaited() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

}  // namespace

void Signals::Block() {
  signal(SIGPIPE, SIG_IGN);
  const sigset_t set = Awaited();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

Signals::Signals(std::function<void()> on_first) {
  thread_ =
      std::thread([this, on_first = std::move(on_first)]() mutable { Run(std::move(on_first)); });
}

Signals::~Signals() {
  ending_ = true;
  pthread_kill(thread_.native_handle(), SIGTERM);
  thread_.join();
}

void Signals::Run(std::function<void()> on_first) {
  pthread_setname_np(pthread_self(), "annulus signals");
  const sigset_t set = Awaited();
  for (int count = 0;; ++count) {
    int number = 0;
    sigwait(&set, &number);
    if (ending_) return;
    if (count > 0) {
      constexpr char kMessage[] = "annulus: second signal, ending at once\n";
      [[maybe_unused]] const ssize_t written =
          write(STDERR_FILENO, kMessage, std::strlen(kMessage));
      _exit(128 + number);
    }
    on_first();
  }
}

}  // namespace annulus
