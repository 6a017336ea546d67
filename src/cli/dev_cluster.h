#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace annulus::cli {

struct DevOptions {
  int nodes = 3;
  std::string data = "annulus-dev";
  int port = 50051;
  int http_port = 8080;
  int replicas = 0;  // 0: min(3, nodes).
  bool sync = true;
  bool restart = false;
  std::string log_level;
};

// One process of a local cluster.
struct DevNode {
  std::string name;
  std::string client, peer, http;  // host:port
  std::string data, log;           // Paths.
  std::string id;                  // 16 hex digits; empty while unknown.
  pid_t pid = 0;
};

// Ports, names and paths: node i (from 0) has port + 10i for clients, one more for peers, and
// http_port + 10i. INVALID_ARGUMENT where the numbers do not fit.
absl::StatusOr<std::vector<DevNode>> PlanDevNodes(const DevOptions& options);

// Arguments of `annulus serve` for one of them.
std::vector<std::string> ServeArguments(const DevOptions& options,
                                        const std::vector<DevNode>& nodes, const DevNode& node,
                                        const std::string& secret_file);

// UNAVAILABLE, with the port and what to do, where a port is taken.
absl::Status CheckPortsFree(const std::vector<DevNode>& nodes);

// The directory of a local cluster; it is locked against a second supervisor while this lives.
class DevDirectory {
 public:
  // Makes it where it is not there. FAILED_PRECONDITION where another supervisor runs in it, or
  // where it holds a cluster of another shape: layouts do not change yet.
  static absl::StatusOr<DevDirectory> Open(const DevOptions& options);
  ~DevDirectory();
  DevDirectory(DevDirectory&& other) noexcept;
  DevDirectory& operator=(DevDirectory&&) = delete;

  // Remembers the shape, for Open() of later runs.
  absl::Status RecordShape(const DevOptions& options) const;
  // The file with the cluster's secret, drawn once, mode 0600.
  absl::StatusOr<std::string> SecretFile() const;
  // cluster.json, replaced in one step.
  absl::Status WriteClusterFile(const std::vector<DevNode>& nodes) const;
  // Of an earlier run: its process ids are someone else's by now.
  void RemoveClusterFile() const;

 private:
  DevDirectory(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}
  absl::Status CheckShape(const DevOptions& options) const;

  std::string path_;
  int lock_;
};

}  // namespace annulus::cli
