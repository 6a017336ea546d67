// What `./x bench peers` measures Annulus against: echo servers, a load for etcd, and the disk.

#include <cstdio>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/synchronization/mutex.h"
#include "disk.h"
#include "echo_server.h"
#include "etcd_target.h"
#include "load/driver.h"
#include "load/run.h"
#include "load/workload.h"

namespace annulus::peers {
namespace {

struct EtcdFlags {
  EtcdOptions options;
  load::DriverOptions driver;
  double reads = 0.5;
  double seconds = 5;
  double warm_up_seconds = 1;
  uint64_t keys = 100'000;
  bool fill = false;
};

Duration Seconds(double seconds) { return Duration(static_cast<int64_t>(seconds * 1e9)); }

int LoadEtcd(const EtcdFlags& flags) {
  CqLoop loop;
  EtcdTarget target(&loop, flags.options);
  if (!target.Connect()) {
    std::fprintf(stderr, "no connection to etcd\n");
    return 1;
  }
  load::Workload workload({.read = flags.reads, .update = 1 - flags.reads}, load::Choice::kUniform,
                          flags.keys, 1);
  load::Driver driver(&loop, &target, &workload, flags.driver);
  const load::RunOptions run{.fill_keys = flags.fill ? flags.keys : 0,
                             .warm_up = Seconds(flags.warm_up_seconds),
                             .duration = Seconds(flags.seconds),
                             .json = true};
  const load::RunResult result = load::RunLoad(&loop, &driver, run, [] { return false; });
  if (!result.filled) {
    std::fprintf(stderr, "some keys could not be written\n");
    return 1;
  }
  const nlohmann::ordered_json json = {{"total", load::ToJson(result.total, result.seconds)}};
  std::printf("%s\n", json.dump().c_str());
  return 0;
}

int Main(int argc, char** argv) {
  CLI::App app("Parts of ./x bench peers", "annulus_peers");
  app.require_subcommand(1);
  int code = 0;

  std::string kind = "queue", address;
  CLI::App* echo = app.add_subcommand("echo", "serve an echo until killed");
  echo->add_option("--kind", kind)->check(CLI::IsMember({"queue", "callbacks"}));
  echo->add_option("--address", address)->required();
  echo->callback(
      [&] { code = kind == "queue" ? ServeOnQueue(address) : ServeWithCallbacks(address); });

  EtcdFlags flags;
  CLI::App* etcd = app.add_subcommand("etcd", "put a load on etcd");
  etcd->add_option("--endpoints", flags.options.endpoints)->delimiter(',')->required();
  etcd->add_option("--connections", flags.options.connections);
  etcd->add_flag("--serializable", flags.options.serializable);
  etcd->add_option("--clients", flags.driver.clients);
  etcd->add_option("--rate", flags.driver.rate);
  etcd->add_option("--reads", flags.reads);
  etcd->add_option("--seconds", flags.seconds);
  etcd->add_option("--warm-up", flags.warm_up_seconds);
  etcd->add_option("--keys", flags.keys);
  etcd->add_flag("--fill", flags.fill);
  etcd->callback([&] { code = LoadEtcd(flags); });

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
