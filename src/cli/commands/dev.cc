#include <cstdio>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands/commands.h"
#include "cli/commands/supervisor.h"
#include "cli/dev_cluster.h"
#include "cli/duration.h"
#include "cli/failure.h"
#include "cli/table.h"

namespace annulus::cli {
namespace {

int Report(const absl::Status& status) {
  std::fprintf(stderr, "annulus dev: %s\n", std::string(status.message()).c_str());
  return status.code() == absl::StatusCode::kInvalidArgument ? kExitUsage : kExitFailed;
}

void PrintReady(const DevOptions& options, const std::vector<DevNode>& nodes, double seconds) {
  Table table({"node", "clients", "http", "pid", "log"});
  std::vector<std::string> endpoints;
  for (const DevNode& node : nodes) {
    table.Add({node.name, node.client, absl::StrCat("http://", node.http), absl::StrCat(node.pid),
               node.log});
    endpoints.push_back(node.client);
  }
  std::printf(
      "%s\nready in %s; the data is in %s%s. Try:\n"
      "  export ANNULUS_ENDPOINTS=%s\n"
      "  annulus put greeting hello\n"
      "  annulus get greeting\n"
      "  annulus status\n"
      "Ctrl-C ends the cluster; the data stays.\n",
      table.ToString().c_str(), HumanDuration(seconds).c_str(), options.data.c_str(),
      options.sync ? "" : " (sync is off: a power cut can lose acknowledged writes)",
      absl::StrJoin(endpoints, ",").c_str());
  std::fflush(stdout);
}

int RunDev(DevOptions options) {
  auto nodes = PlanDevNodes(options);
  if (!nodes.ok()) return Report(nodes.status());
  if (options.replicas > options.nodes) {
    std::fprintf(stderr, "annulus dev: %d replicas need as many nodes; keeping %d\n",
                 options.replicas, options.nodes);
  } else if (options.nodes < 3 && options.replicas == 0) {
    std::fprintf(stderr, "annulus dev: with %d %s there %s only %d %s of each key\n", options.nodes,
                 options.nodes == 1 ? "node" : "nodes", options.nodes == 1 ? "is" : "are",
                 options.nodes, options.nodes == 1 ? "replica" : "replicas");
  }
  auto directory = DevDirectory::Open(options);
  if (!directory.ok()) return Report(directory.status());
  directory->RemoveClusterFile();
  if (absl::Status status = CheckPortsFree(*nodes); !status.ok()) return Report(status);
  if (absl::Status status = directory->RecordShape(options); !status.ok()) return Report(status);
  auto secret_file = directory->SecretFile();
  if (!secret_file.ok()) return Report(secret_file.status());

  Supervisor supervisor(options, *std::move(nodes), *secret_file, &*directory);
  if (absl::Status status = supervisor.StartAll(); !status.ok()) {
    Report(status);
    supervisor.StopAll();
    return absl::IsCancelled(status) ? kExitInterrupted : kExitFailed;
  }
  PrintReady(options, supervisor.nodes(), supervisor.seconds());
  return supervisor.Run();
}

}  // namespace

void AddDev(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<DevOptions>();
  CLI::App* command =
      AddCommand(app, invocation, "dev", "Run a whole cluster on this machine, until Ctrl-C",
                 "  annulus dev\n"
                 "  annulus dev --nodes 5 --data /tmp/five --port 51051 --http-port 9080\n"
                 "Each node is a process of its own (`annulus serve`) on the loopback interface. "
                 "Node i, from 0,\n"
                 "has port + 10i for clients, one more for its peers, and http-port + 10i. "
                 "cluster.json in the\n"
                 "data directory says who is who. The nodes end with this process.",
                 [options] { return RunDev(*options); });
  command->add_option("--nodes", options->nodes, "how many, from 1 to 9 (default: 3)")
      ->type_name("N")
      ->check(Between(1, 9));
  command
      ->add_option("--data", options->data, "the directory for all of them (default: annulus-dev)")
      ->type_name("DIR");
  command->add_option("--port", options->port, "the first node's port for clients (default: 50051)")
      ->type_name("PORT")
      ->check(Between(1, 65535));
  command
      ->add_option("--http-port", options->http_port,
                   "the first node's port for HTTP (default: 8080)")
      ->type_name("PORT")
      ->check(Between(1, 65535));
  command
      ->add_option("--replicas", options->replicas,
                   "copies of each key (default: 3, or as many as there are nodes)")
      ->type_name("N")
      ->check(Between(1, 7));
  command->add_flag("--sync,!--no-sync", options->sync,
                    "sync the log before a write is acknowledged (default), or do not");
  command->add_flag("--restart", options->restart, "restart a node that dies, after 1 s");
  command->add_option("--log-level", options->log_level, "of the nodes' logs")->type_name("LEVEL");
}

}  // namespace annulus::cli
