#include "cli/commands/supervisor.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <deque>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cli/encoding.h"
#include "cli/exit_code.h"
#include "cli/http_get.h"
#include "client/client.h"

namespace annulus::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kReadyWait = seconds(60);
constexpr auto kStopWait = seconds(40);
constexpr auto kRestartDelay = seconds(1);

std::string LastLines(const std::string& path, size_t count) {
  std::ifstream file(path);
  std::deque<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    lines.push_back(line);
    if (lines.size() > count) lines.pop_front();
  }
  std::string text;
  for (const std::string& line : lines) absl::StrAppend(&text, "    ", line, "\n");
  return text;
}

std::string HowItEnded(int status) {
  if (WIFSIGNALED(status)) {
    return absl::StrCat("was ended by signal ", WTERMSIG(status), " (", strsignal(WTERMSIG(status)),
                        ")");
  }
  return absl::StrCat("ended with exit code ", WEXITSTATUS(status));
}

// The environment without ANNULUS_*: a child is told everything by its flags.
std::vector<char*> CleanEnvironment() {
  std::vector<char*> variables;
  for (char** each = environ; *each != nullptr; ++each) {
    if (std::strncmp(*each, "ANNULUS_", 8) != 0) variables.push_back(*each);
  }
  variables.push_back(nullptr);
  return variables;
}

}  // namespace

Supervisor::Supervisor(DevOptions options, std::vector<DevNode> nodes, std::string secret_file,
                       const DevDirectory* directory)
    : options_(std::move(options)),
      nodes_(std::move(nodes)),
      secret_file_(std::move(secret_file)),
      directory_(directory),
      start_(Clock::now()) {
  // Waited for, never handled: so no handler runs between a check and a wait.
  sigemptyset(&signals_);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&signals_, signal);
  pthread_sigmask(SIG_BLOCK, &signals_, &earlier_mask_);
  signal(SIGPIPE, SIG_IGN);  // Nobody reads what it says: no reason to end the cluster.
}

Supervisor::~Supervisor() {
  StopAll();
  pthread_sigmask(SIG_SETMASK, &earlier_mask_, nullptr);
}

double Supervisor::seconds() const {
  return std::chrono::duration<double>(Clock::now() - start_).count();
}

absl::Status Supervisor::Start(DevNode& node) {
  // All memory is taken before the fork: behind it only system calls are safe, since this process
  // may have other threads.
  std::vector<std::string> arguments = ServeArguments(options_, nodes_, node, secret_file_);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  std::vector<char*> environment = CleanEnvironment();
  const int log = open(node.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log < 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot write ", node.log, ": ", std::strerror(errno)));
  }
  const int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    setpgid(0, 0);  // Ctrl-C is for the supervisor, which asks the nodes to drain.
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(1);  // It had died before.
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    signal(SIGPIPE, SIG_DFL);
    dup2(input, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execve("/proc/self/exe", argv.data(), environment.data());
    _exit(127);
  }
  const int error = errno;
  close(log);
  close(input);
  if (pid < 0) {
    return absl::UnavailableError(absl::StrCat("cannot start a process: ", std::strerror(error)));
  }
  node.pid = pid;
  return absl::OkStatus();
}

absl::Status Supervisor::StartAll() {
  for (DevNode& node : nodes_) {
    if (absl::Status status = Start(node); !status.ok()) return status;
  }
  std::vector<bool> ready(nodes_.size());
  std::vector<std::string> why(nodes_.size());
  for (;;) {
    if (WaitSignal(milliseconds(20)) != 0) return absl::CancelledError("told to end");
    if (Reap()) return absl::UnavailableError(last_end_);
    bool all = true;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (ready[i]) continue;
      const auto answer = HttpGet(nodes_[i].http, "/readyz", milliseconds(500));
      ready[i] = answer.ok() && answer->code == 200;
      if (!ready[i]) {
        why[i] = answer.ok() ? PrintableShort(absl::StripAsciiWhitespace(answer->body), 120)
                             : std::string(answer.status().message());
      }
      all = all && ready[i];
    }
    if (all) break;
    if (Clock::now() - start_ < kReadyWait) continue;
    std::string message = "not ready within 60 s:";
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (!ready[i]) {
        absl::StrAppend(&message, "\n  ", nodes_[i].name, ": ", why[i], " (log: ", nodes_[i].log,
                        ")");
      }
    }
    return absl::UnavailableError(message);
  }
  for (DevNode& node : nodes_) {
    const auto status = StatusOf(node.client, milliseconds(5000));
    if (!status.ok()) {
      return absl::UnavailableError(
          absl::StrCat(node.name, " does not answer: ", status.status().message()));
    }
    node.id = HexId(status->node_id());
  }
  return Refresh();
}

int Supervisor::Run() {
  for (;;) {
    if (WaitSignal(milliseconds(200)) != 0) {
      std::fputs("annulus dev: ending; the nodes drain\n", stderr);
      return StopAll() ? kExitOk : kExitFailed;
    }
    Reap();
    RestartDue();
    if (Running() == 0 && restart_at_.empty()) {
      std::fputs("annulus dev: no node is left\n", stderr);
      return kExitFailed;
    }
  }
}

bool Supervisor::StopAll() {
  stopping_ = true;
  restart_at_.clear();
  for (const DevNode& node : nodes_) {
    if (node.pid > 0) kill(node.pid, SIGTERM);
  }
  bool killed = false;
  const auto deadline = Clock::now() + kStopWait;
  while (Running() > 0) {
    const bool again = WaitSignal(milliseconds(100)) != 0;
    Reap();
    if (killed || (!again && Clock::now() < deadline)) continue;
    for (const DevNode& node : nodes_) {
      if (node.pid == 0) continue;
      std::fprintf(stderr, "annulus dev: %s (pid %d) does not end: killing it\n", node.name.c_str(),
                   node.pid);
      kill(node.pid, SIGKILL);
      killed = true;
    }
  }
  return !killed;
}

bool Supervisor::Reap() {
  bool any = false;
  for (DevNode& node : nodes_) {
    int status = 0;
    if (node.pid == 0 || waitpid(node.pid, &status, WNOHANG) != node.pid) continue;
    any = true;
    const pid_t pid = std::exchange(node.pid, 0);
    if (stopping_) continue;
    last_end_ =
        absl::StrCat(node.name, " (pid ", pid, ") ", HowItEnded(status), "; its log is ", node.log);
    // Who was killed from outside has nothing to say about it.
    if (!WIFSIGNALED(status) || WTERMSIG(status) == SIGABRT) {
      absl::StrAppend(&last_end_, ", which ends:\n", LastLines(node.log, 5));
    } else {
      last_end_ += "\n";
    }
    if (node.id.empty()) continue;  // Still starting: StartAll() reports it.
    std::fprintf(stderr, "annulus dev: %s", last_end_.c_str());
    if (options_.restart) {
      std::fputs("  it is restarted in 1 s\n", stderr);
      restart_at_[node.name] = Clock::now() + kRestartDelay;
    } else {
      std::fputs("  the others go on; with --restart it would be restarted\n", stderr);
    }
  }
  return any;
}

void Supervisor::RestartDue() {
  bool any = false;
  for (DevNode& node : nodes_) {
    const auto it = restart_at_.find(node.name);
    if (it == restart_at_.end() || Clock::now() < it->second) continue;
    restart_at_.erase(it);
    if (absl::Status status = Start(node); !status.ok()) {
      std::fprintf(stderr, "annulus dev: %s\n", std::string(status.message()).c_str());
      restart_at_[node.name] = Clock::now() + kRestartDelay;
      continue;
    }
    std::fprintf(stderr, "annulus dev: %s runs again (pid %d)\n", node.name.c_str(), node.pid);
    any = true;
  }
  if (!any) return;
  if (absl::Status status = Refresh(); !status.ok()) {
    std::fprintf(stderr, "annulus dev: %s\n", std::string(status.message()).c_str());
  }
}

int Supervisor::WaitSignal(milliseconds time) {
  const timespec wait{time.count() / 1000, time.count() % 1000 * 1'000'000};
  const int signal = sigtimedwait(&signals_, nullptr, &wait);
  return signal > 0 && signal != SIGCHLD ? signal : 0;
}

size_t Supervisor::Running() const {
  size_t running = 0;
  for (const DevNode& node : nodes_) running += node.pid > 0;
  return running;
}

absl::Status Supervisor::Refresh() { return directory_->WriteClusterFile(nodes_); }

}  // namespace annulus::cli
