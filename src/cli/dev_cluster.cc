#include "cli/dev_cluster.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/encoding.h"
#include "cli/endpoints.h"
#include "nlohmann/json.hpp"

namespace annulus::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr char kHost[] = "127.0.0.1";
constexpr int kNodesMax = 9;

std::string LocalAddress(int port) { return absl::StrCat(kHost, ":", port); }

int PortOf(const std::string& address) { return ParseHostPort(address)->port; }

int Replicas(const DevOptions& options) {
  return std::min(options.replicas > 0 ? options.replicas : 3, options.nodes);
}

// Written beside it, synced, then renamed: a reader finds the old text or the new one, whole.
absl::Status ReplaceFile(const std::string& path, const std::string& text, mode_t mode) {
  const std::string unfinished = path + ".new";
  const auto failed = [&](const std::string& what) {
    return absl::UnavailableError(absl::StrCat("cannot ", what, ": ", std::strerror(errno)));
  };
  const int fd = open(unfinished.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (fd < 0) return failed(absl::StrCat("write ", unfinished));
  const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const bool synced = fsync(fd) == 0;
  close(fd);
  if (!written || !synced) return failed(absl::StrCat("write ", unfinished));
  if (std::rename(unfinished.c_str(), path.c_str()) != 0) {
    return failed(absl::StrCat("rename ", unfinished));
  }
  return absl::OkStatus();
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Without SO_REUSEPORT, so that it fails also beside a listener that would share its port.
bool PortIsFree(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return true;  // Not for us to say; the node will.
  const int yes = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(AF_INET, kHost, &address.sin_addr);
  const bool free =
      bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 && listen(fd, 1) == 0;
  close(fd);
  return free;
}

}  // namespace

absl::StatusOr<std::vector<DevNode>> PlanDevNodes(const DevOptions& options) {
  if (options.nodes < 1 || options.nodes > kNodesMax) {
    return absl::InvalidArgumentError(absl::StrCat("--nodes should be from 1 to ", kNodesMax));
  }
  std::vector<DevNode> nodes;
  std::vector<int> ports;
  for (int i = 0; i < options.nodes; ++i) {
    const int client = options.port + 10 * i, http = options.http_port + 10 * i;
    DevNode node;
    node.name = absl::StrCat("node-", i + 1);
    node.client = LocalAddress(client);
    node.peer = LocalAddress(client + 1);
    node.http = LocalAddress(http);
    node.data = (fs::path(options.data) / node.name).string();
    node.log = node.data + ".log";
    nodes.push_back(std::move(node));
    ports.insert(ports.end(), {client, client + 1, http});
  }
  std::sort(ports.begin(), ports.end());
  if (ports.front() < 1 || ports.back() > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("the ports would go from ", ports.front(),
                                                   " to ", ports.back(),
                                                   ": choose others with --port and --http-port"));
  }
  const auto twice = std::adjacent_find(ports.begin(), ports.end());
  if (twice != ports.end()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "port ", *twice, " would be used twice: choose --port and --http-port further apart"));
  }
  return nodes;
}

std::vector<std::string> ServeArguments(const DevOptions& options,
                                        const std::vector<DevNode>& nodes, const DevNode& node,
                                        const std::string& secret_file) {
  std::vector<std::string> members;
  for (const DevNode& each : nodes) members.push_back(absl::StrCat(each.name, "=", each.peer));
  std::vector<std::string> arguments = {"annulus",
                                        "serve",
                                        "--name",
                                        node.name,
                                        "--data-dir",
                                        node.data,
                                        "--cluster",
                                        "dev",
                                        "--secret-file",
                                        secret_file,
                                        "--listen-client",
                                        node.client,
                                        "--listen-peer",
                                        node.peer,
                                        "--listen-http",
                                        node.http,
                                        "--advertise-peer",
                                        node.peer,
                                        "--advertise-client",
                                        node.client,
                                        "--members",
                                        absl::StrJoin(members, ","),
                                        "--replicas",
                                        absl::StrCat(Replicas(options)),
                                        "--sync",
                                        options.sync ? "true" : "false"};
  if (!options.log_level.empty()) {
    arguments.insert(arguments.end(), {"--log-level", options.log_level});
  }
  return arguments;
}

absl::Status CheckPortsFree(const std::vector<DevNode>& nodes) {
  for (const DevNode& node : nodes) {
    const std::pair<const std::string*, const char*> uses[] = {
        {&node.client, "--port"}, {&node.peer, "--port"}, {&node.http, "--http-port"}};
    for (const auto& [address, flag] : uses) {
      if (PortIsFree(PortOf(*address))) continue;
      return absl::UnavailableError(
          absl::StrCat("port ", PortOf(*address), " (for ", node.name,
                       ") is in use: end what listens there, or choose other ports with ", flag));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<DevDirectory> DevDirectory::Open(const DevOptions& options) {
  std::error_code error;
  fs::create_directories(options.data, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot make the directory ", options.data, ": ", error.message()));
  }
  const std::string lock_path = (fs::path(options.data) / "dev.lock").string();
  const int lock = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot write ", lock_path, ": ", std::strerror(errno)));
  }
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    std::string holder = ReadFile(lock_path);
    while (!holder.empty() && holder.back() == '\n') holder.pop_back();
    close(lock);
    return absl::FailedPreconditionError(absl::StrCat(
        "another `annulus dev`", holder.empty() ? "" : absl::StrCat(" (pid ", holder, ")"),
        " runs in ", options.data, ": end it, or choose another directory with --data"));
  }
  const std::string pid = absl::StrCat(getpid(), "\n");
  if (ftruncate(lock, 0) != 0 || pwrite(lock, pid.data(), pid.size(), 0) < 0) {
    close(lock);
    return absl::UnavailableError(
        absl::StrCat("cannot write ", lock_path, ": ", std::strerror(errno)));
  }
  DevDirectory directory(options.data, lock);
  if (absl::Status status = directory.CheckShape(options); !status.ok()) return status;
  return directory;
}

DevDirectory::DevDirectory(DevDirectory&& other) noexcept
    : path_(std::move(other.path_)), lock_(std::exchange(other.lock_, -1)) {}

DevDirectory::~DevDirectory() {
  if (lock_ >= 0) close(lock_);
}

absl::Status DevDirectory::CheckShape(const DevOptions& options) const {
  const std::string path = (fs::path(path_) / "dev.json").string();
  if (!fs::exists(path)) return absl::OkStatus();
  const auto shape = nlohmann::json::parse(ReadFile(path), nullptr, /*allow_exceptions=*/false);
  if (!shape.is_object() || !shape.contains("nodes") || !shape["nodes"].is_number_integer()) {
    return absl::DataLossError(absl::StrCat(path,
                                            " is damaged: remove it if you know the number of "
                                            "nodes that ran here, and pass that as --nodes"));
  }
  const auto refuse = [&](const std::string& name, int there, int asked) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, " holds a cluster with ", name, " ", there, ", not ", asked,
                     ", and layouts cannot change yet: pass --", name, " ", there,
                     ", or another directory with --data"));
  };
  if (shape["nodes"] != options.nodes) return refuse("nodes", shape["nodes"], options.nodes);
  const int replicas = shape.value("replicas", Replicas(options));
  if (replicas != Replicas(options)) return refuse("replicas", replicas, Replicas(options));
  return absl::OkStatus();
}

absl::Status DevDirectory::RecordShape(const DevOptions& options) const {
  const ordered_json shape = {{"nodes", options.nodes}, {"replicas", Replicas(options)}};
  return ReplaceFile((fs::path(path_) / "dev.json").string(), shape.dump() + "\n", 0644);
}

absl::StatusOr<std::string> DevDirectory::SecretFile() const {
  const std::string path = (fs::path(path_) / "secret").string();
  if (fs::exists(path)) return path;
  char bytes[32];
  if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) {
    return absl::UnavailableError("the system gives no random bytes for the cluster's secret");
  }
  const absl::Status status =
      ReplaceFile(path, Hex(absl::string_view(bytes, sizeof(bytes))) + "\n", 0600);
  if (!status.ok()) return status;
  return path;
}

absl::Status DevDirectory::WriteClusterFile(const std::vector<DevNode>& nodes) const {
  ordered_json list = ordered_json::array();
  for (const DevNode& node : nodes) {
    list.push_back({{"name", node.name},
                    {"id", node.id},
                    {"pid", node.pid},
                    {"client", node.client},
                    {"peer", node.peer},
                    {"http", node.http},
                    {"data", node.data},
                    {"log", node.log}});
  }
  return ReplaceFile((fs::path(path_) / "cluster.json").string(),
                     ordered_json{{"cluster", "dev"}, {"nodes", list}}.dump(2) + "\n", 0644);
}

void DevDirectory::RemoveClusterFile() const {
  std::error_code ignored;
  fs::remove(fs::path(path_) / "cluster.json", ignored);
}

}  // namespace annulus::cli
