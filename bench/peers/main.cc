// What `./x bench peers` measures Annulus against: echo servers, loads for etcd and Cassandra, and
// the disk.

#include <cstdio>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/synchronization/mutex.h"
#include "cassandra_target.h"
#include "disk.h"
#include "echo_server.h"
#include "etcd_target.h"
#include "load/driver.h"
#include "load/run.h"
#include "load/workload.h"

namespace annulus::peers {
namespace {

struct LoadFlags {
  load::DriverOptions driver;
  double reads = 0.5;
  double seconds = 5;
  double warm_up_seconds = 1;
  uint64_t keys = 100'000;
  bool fill = false;

  void AddTo(CLI::App* app) {
    app->add_option("--clients", driver.clients);
    app->add_option("--rate", driver.rate);
    app->add_option("--reads", reads);
    app->add_option("--seconds", seconds);
    app->add_option("--warm-up", warm_up_seconds);
    app->add_option("--keys", keys);
    app->add_flag("--fill", fill);
  }
};

Duration Seconds(double seconds) { return Duration(static_cast<int64_t>(seconds * 1e9)); }

int PutLoad(CqLoop* loop, load::Target* target, const LoadFlags& flags) {
  load::Workload workload({.read = flags.reads, .update = 1 - flags.reads}, load::Choice::kUniform,
                          flags.keys, 1);
  load::Driver driver(loop, target, &workload, flags.driver);
  const load::RunOptions run{.fill_keys = flags.fill ? flags.keys : 0,
                             .warm_up = Seconds(flags.warm_up_seconds),
                             .duration = Seconds(flags.seconds),
                             .json = true};
  const load::RunResult result = load::RunLoad(loop, &driver, run, [] { return false; });
  if (!result.filled) {
    std::fprintf(stderr, "some keys could not be written:\n");
    for (const auto& [what, count] : result.total.failures) {
      std::fprintf(stderr, "%lu x %s\n", static_cast<unsigned long>(count), what.c_str());
    }
    return 1;
  }
  const nlohmann::ordered_json json = {{"total", load::ToJson(result.total, result.seconds)}};
  std::printf("%s\n", json.dump().c_str());
  return 0;
}

int LoadEtcd(const EtcdOptions& options, const LoadFlags& flags) {
  CqLoop loop;
  EtcdTarget target(&loop, options);
  if (!target.Connect()) {
    std::fprintf(stderr, "no connection to etcd\n");
    return 1;
  }
  return PutLoad(&loop, &target, flags);
}

int LoadCassandra(const CassandraOptions& options, const LoadFlags& flags) {
  CqLoop loop;
  CassandraTarget target(&loop, options);
  if (const absl::Status connected = target.Connect(); !connected.ok()) {
    std::fprintf(stderr, "%s\n", connected.ToString().c_str());
    return 1;
  }
  return PutLoad(&loop, &target, flags);
}

int Main(int argc, char** argv) {
  CLI::App app("Parts of ./x bench peers", "annulus_peers");
  app.require_subcommand(1);
  int code = 0;

  std::string kind = "queue", address;
  CLI::App* echo = app.add_subcommand("echo", "serve an echo until SIGTERM");
  echo->add_option("--kind", kind)->check(CLI::IsMember({"queue", "callbacks"}));
  echo->add_option("--address", address)->required();
  echo->callback(
      [&] { code = kind == "queue" ? ServeOnQueue(address) : ServeWithCallbacks(address); });

  LoadFlags flags;
  EtcdOptions etcd_options;
  CLI::App* etcd = app.add_subcommand("etcd", "put a load on etcd");
  etcd->add_option("--endpoints", etcd_options.endpoints)->delimiter(',')->required();
  etcd->add_option("--connections", etcd_options.connections);
  etcd->add_flag("--serializable", etcd_options.serializable);
  flags.AddTo(etcd);
  etcd->callback([&] { code = LoadEtcd(etcd_options, flags); });

  CassandraOptions cassandra_options;
  CLI::App* cassandra = app.add_subcommand("cassandra", "put a load on Cassandra");
  cassandra->add_option("--endpoints", cassandra_options.endpoints)->delimiter(',')->required();
  flags.AddTo(cassandra);
  cassandra->callback([&] { code = LoadCassandra(cassandra_options, flags); });

  std::string path = ".";
  double seconds = 2;
  CLI::App* disk = app.add_subcommand("disk", "what the disk and RocksDB alone can do");
  disk->add_option("--path", path);
  disk->add_option("--seconds", seconds, "of each of the three");
  disk->callback([&] { code = MeasureDisk(path, seconds); });

  CLI11_PARSE(app, argc, argv);
  return code;
}

}  // namespace
}  // namespace annulus::peers

int main(int argc, char** argv) {
  // As in Annulus: gRPC's mutexes are Abseil's, and Debian's build looks for deadlocks at every
  // lock.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return annulus::peers::Main(argc, argv);
}
