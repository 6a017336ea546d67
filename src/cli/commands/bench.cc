#include <cstdio>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/commands/bench_load.h"
#include "cli/commands/commands.h"
#include "cli/duration.h"
#include "cli/encoding.h"

namespace annulus::cli {
namespace {

using nlohmann::ordered_json;
using std::chrono::steady_clock;
using Window = BenchRecord::Window;

constexpr double kWindowSecondsMin = 0.5;

struct BenchFlags {
  BenchOptions options;
  std::string duration = "30s";
  size_t concurrency = 256;
  bool fill = false;
};

ordered_json AsJson(const Window& window, double seconds) {
  ordered_json json = {{"seconds", seconds},
                       {"ok", window.ok},
                       {"failed", window.failed},
                       {"ok_per_s", seconds > 0 ? window.ok / seconds : 0},
                       {"p50_us", window.latency.Quantile(0.5)},
                       {"p99_us", window.latency.Quantile(0.99)},
                       {"p999_us", window.latency.Quantile(0.999)},
                       {"max_us", window.latency.max()}};
  if (!window.failures.empty()) json["failures"] = window.failures;
  return json;
}

void PrintRow(double at, const Window& window, double seconds) {
  std::printf("%8.1f %10.0f %8lu %10.2f %10.2f %10.2f\n", at, window.ok / seconds,
              static_cast<unsigned long>(window.failed), window.latency.Quantile(0.5) / 1e3,
              window.latency.Quantile(0.99) / 1e3, window.latency.max() / 1e3);
  std::fflush(stdout);
}

// Takes what has ended from the record once a second, shows it, and adds it up.
class Reporter {
 public:
  Reporter(BenchRecord* record, bool json)
      : record_(record), json_(json), began_(steady_clock::now()), thread_([this] { Run(); }) {
    if (!json_) {
      std::printf("%8s %10s %8s %10s %10s %10s\n", "second", "ok/s", "failed", "p50 ms", "p99 ms",
                  "max ms");
    }
  }

  // The sum of all windows, once the last one is shown.
  Window Finish() {
    {
      std::lock_guard lock(mutex_);
      finished_ = true;
    }
    changed_.notify_all();
    thread_.join();
    return total_;
  }
  double seconds() const {
    return std::chrono::duration<double>(steady_clock::now() - began_).count();
  }

 private:
  void Run() {
    auto last = began_;
    bool finished = false;
    while (!finished) {
      {
        std::unique_lock lock(mutex_);
        finished =
            changed_.wait_until(lock, last + std::chrono::seconds(1), [this] { return finished_; });
      }
      const auto now = steady_clock::now();
      Show(record_->Take(), std::chrono::duration<double>(now - last).count());
      last = now;
    }
  }

  void Show(const Window& window, double seconds) {
    total_.Add(window);
    if (seconds < kWindowSecondsMin) return;  // What was under way at the end: only in the total.
    if (json_) {
      ordered_json json = AsJson(window, seconds);
      json["at"] = this->seconds();
      PrintJson(json);
      std::fflush(stdout);
    } else {
      PrintRow(this->seconds(), window, seconds);
    }
  }

  BenchRecord* record_;
  const bool json_;
  const steady_clock::time_point began_;
  Window total_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool finished_ = false;
  std::thread thread_;
};

int Report(const Invocation& invocation, const Window& total, double seconds) {
  if (invocation.json()) {
    PrintJson({{"total", AsJson(total, seconds)}});
  } else {
    std::printf(
        "\n%s served, %s failed in %.1f s: %.0f a second; p50 %.2f ms, p99 %.2f ms, p99.9 "
        "%.2f ms, max %.2f ms\n",
        Grouped(total.ok).c_str(), Grouped(total.failed).c_str(), seconds, total.ok / seconds,
        total.latency.Quantile(0.5) / 1e3, total.latency.Quantile(0.99) / 1e3,
        total.latency.Quantile(0.999) / 1e3, total.latency.max() / 1e3);
    for (const auto& [what, count] : total.failures) {
      std::printf("failed: %s x %s\n", Grouped(count).c_str(), what.c_str());
    }
  }
  return total.failed == 0 ? kExitOk : kExitFailed;
}

int RunBench(Invocation& invocation, const BenchFlags& flags) {
  auto client = invocation.client_options();
  if (!client.ok()) return UsageError(client.status());
  auto duration = ParseDuration(flags.duration, "--duration");
  if (!duration.ok()) return UsageError(duration.status());
  BenchOptions options = flags.options;
  options.duration = *duration;

  PipelineOptions pipeline_options;
  pipeline_options.client = *client;
  // What is counted is the first RPC of each operation.
  if (!invocation.retries.has_value()) pipeline_options.client.retries = 0;
  pipeline_options.operations_max = flags.concurrency;
  BenchRecord record;
  Pipeline pipeline(pipeline_options);
  if (absl::Status status = pipeline.Connect(); !status.ok()) {
    return Fail(invocation, "bench", status);
  }
  BenchLoad load(&pipeline, &record, options);
  InterruptGuard interrupt;
  if (flags.fill && !load.Fill()) {
    return Fail(invocation, "bench",
                absl::UnavailableError("some keys could not be written before the run"));
  }
  Reporter reporter(&record, invocation.json());
  load.Run([&] { return interrupt.interrupted(); });
  pipeline.Drain();
  const double seconds = reporter.seconds();
  const int code = Report(invocation, reporter.Finish(), seconds);
  return interrupt.interrupted() ? kExitInterrupted : code;
}

}  // namespace

void AddBench(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<BenchFlags>();
  BenchOptions& options = flags->options;
  options.bucket = "bench";
  CLI::App* command = AddCommand(
      app, invocation, "bench", "Put a load on a cluster, and say how fast it was",
      "  annulus bench --fill\n"
      "  annulus bench --rate 2000 --duration 60s --reads 0.9 --keys 1000000\n"
      "  annulus bench --rate 2000 -o json | jq .p99_us\n"
      "With --rate operations begin when they are due, and their latency counts from then, also "
      "where\n"
      "--concurrency left no room to begin; without it, --concurrency of them are always under "
      "way.\n"
      "-o json: a line each second, and at the end {\"total\": ...}. Exit code 1: some failed.",
      [&invocation, flags] { return RunBench(invocation, *flags); });
  command->add_option("--rate", options.rate, "operations a second (default: as many as possible)")
      ->type_name("N")
      ->check(CLI::Range(0.0, 1e7).description(""));
  command->add_option("--duration", flags->duration, "how long to begin operations (default: 30s)")
      ->type_name("TIME");
  command->add_option("--reads", options.reads, "share of gets; the rest are puts (default: 0.5)")
      ->type_name("SHARE")
      ->check(CLI::Range(0.0, 1.0).description(""));
  command->add_option("--keys", options.keys, "how many keys, chosen evenly (default: 100000)")
      ->type_name("N")
      ->check(Between(1, 100'000'000));
  command->add_option("--value-bytes", options.value_bytes, "size of values (default: 100)")
      ->type_name("N")
      ->check(Between(0, 1 << 20));
  command
      ->add_option("--concurrency", flags->concurrency,
                   "operations under way at most (default: 256)")
      ->type_name("N")
      ->check(Between(1, 1'000'000));
  command->add_flag("--fill", flags->fill, "write every key once before the run");
  command->add_option("-b,--bucket", options.bucket, "the bucket (default: bench)")
      ->type_name("NAME");
  command->add_option("--prefix", options.prefix, "what keys begin with (default: nothing)")
      ->type_name("TEXT");
  command->add_option("--seed", options.seed, "of the choice of keys (default: 1)")->type_name("N");
  AddOutputFlag(command, invocation);
  AddConnectionFlags(command, invocation);
}

}  // namespace annulus::cli
