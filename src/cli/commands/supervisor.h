#pragma once

#include <chrono>
#include <csignal>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/dev_cluster.h"

namespace annulus::cli {

// The processes of a local cluster. They are its children, end with it (the kernel sends them
// SIGTERM when it dies, however it dies), and write to log files of their own.
//
// REQUIRES: all calls on the process's first thread, which outlives this: a child's parent is the
// thread that started it.
class Supervisor {
 public:
  Supervisor(DevOptions options, std::vector<DevNode> nodes, std::string secret_file,
             const DevDirectory* directory);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Starts all, waits until all are ready, writes cluster.json. CANCELLED where it was told to end
  // meanwhile; other failures say what the node that ended wrote last.
  absl::Status StartAll();
  // Watches until SIGINT, SIGTERM or SIGHUP, or until no node is left; then stops what runs.
  // Returns the exit code.
  int Run();
  // SIGTERM to all, then waits for their drain; SIGKILL after a while, or at a second signal. False
  // where one had to be killed.
  bool StopAll();

  const std::vector<DevNode>& nodes() const { return nodes_; }
  double seconds() const;

 private:
  using Clock = std::chrono::steady_clock;

  absl::Status Start(DevNode& node);
  // Collects children that have ended; says so. True where any has.
  bool Reap();
  // A signal that asks it to end, or 0 after the time has passed; SIGCHLD ends the wait too.
  int WaitSignal(std::chrono::milliseconds time);
  void RestartDue();
  size_t Running() const;
  absl::Status Refresh();

  const DevOptions options_;
  std::vector<DevNode> nodes_;  // pid 0: not running.
  const std::string secret_file_;
  const DevDirectory* const directory_;
  const Clock::time_point start_;
  std::map<std::string, Clock::time_point> restart_at_;
  std::string last_end_;  // How the last child that ended did.
  bool stopping_ = false;
  sigset_t signals_, earlier_mask_;
};

}  // namespace annulus::cli
