#include "load/run.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

namespace annulus::load {
namespace {

using nlohmann::ordered_json;

constexpr Duration kLook = 50ms;
// A stretch that is shorter shows nothing; it is in the total only.
constexpr double kWindowSecondsMin = 0.5;

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

ordered_json Latencies(const LatencyHistogram& histogram) {
  return {{"p50_us", histogram.Quantile(0.5)},
          {"p99_us", histogram.Quantile(0.99)},
          {"p999_us", histogram.Quantile(0.999)},
          {"max_us", histogram.max()}};
}

// One run, from its first key to its last row.
class Run {
 public:
  Run(CqLoop* loop, Driver* driver, const RunOptions& options,
      const std::function<bool()>& interrupted)
      : loop_(loop), driver_(driver), options_(options), interrupted_(interrupted) {}

  RunResult Drive() {
    loop_->Post([this] { Fill(); });
    loop_->Run();
    return std::move(result_);
  }

 private:
  void Fill() {
    began_ = last_ = loop_->Now();
    Look();
    if (options_.fill_keys == 0) return WarmUp();
    driver_->Fill(options_.fill_keys, [this] {
      const Window filled = driver_->Take();
      result_.filled = filled.failed == 0;
      for (const auto& [what, count] : filled.failures) result_.total.failures[what] += count;
      result_.filled ? WarmUp() : End();
    });
  }

  void WarmUp() {
    stage_ = Stage::kWarmingUp;
    driver_->Run(options_.warm_up, [this] { Measure(); });
  }

  void Measure() {
    driver_->Take();
    stage_ = Stage::kMeasuring;
    began_ = last_ = loop_->Now();
    if (!options_.json) {
      std::printf("%8s %10s %8s %10s %10s %10s\n", "second", "ok/s", "failed", "p50 ms", "p99 ms",
                  "max ms");
    }
    driver_->Run(options_.duration, [this] {
      result_.seconds = Seconds(loop_->Now() - began_);
      Show();
      End();
    });
  }

  void End() {
    stage_ = Stage::kEnded;
    loop_->Stop();
  }

  void Look() {
    if (stage_ == Stage::kEnded) return;
    if (interrupted_()) driver_->Stop();
    if (stage_ == Stage::kEnded) return;  // Nothing was under way.
    if (loop_->Now() - last_ >= 1s) Show();
    loop_->PostAt(loop_->Now() + kLook, [this] { Look(); });
  }

  // What has come since the last row.
  void Show() {
    const Instant now = loop_->Now();
    const double seconds = Seconds(now - std::exchange(last_, now));
    if (stage_ == Stage::kFilling) {
      if (isatty(fileno(stderr))) {
        std::fprintf(stderr, "\rfilled %lu of %lu ", static_cast<unsigned long>(driver_->begun()),
                     static_cast<unsigned long>(options_.fill_keys));
        if (driver_->begun() == options_.fill_keys) std::fprintf(stderr, "\n");
      }
      return;
    }
    if (stage_ != Stage::kMeasuring) return;
    const Window window = driver_->Take();
    result_.total.Add(window);
    if (seconds < kWindowSecondsMin) return;
    const double at = Seconds(now - began_);
    if (options_.json) {
      ordered_json json = ToJson(window, seconds);
      json["at"] = at;
      std::printf("%s\n", json.dump().c_str());
    } else {
      std::printf("%8.1f %10.0f %8lu %10.2f %10.2f %10.2f\n", at, window.ok / seconds,
                  static_cast<unsigned long>(window.failed), window.latency.Quantile(0.5) / 1e3,
                  window.latency.Quantile(0.99) / 1e3, window.latency.max() / 1e3);
    }
    std::fflush(stdout);
  }

  enum class Stage { kFilling, kWarmingUp, kMeasuring, kEnded };

  CqLoop* const loop_;
  Driver* const driver_;
  const RunOptions& options_;
  const std::function<bool()>& interrupted_;
  Stage stage_ = Stage::kFilling;
  Instant began_, last_;
  RunResult result_;
};

}  // namespace

RunResult RunLoad(CqLoop* loop, Driver* driver, const RunOptions& options,
                  const std::function<bool()>& interrupted) {
  return Run(loop, driver, options, interrupted).Drive();
}

ordered_json ToJson(const Window& window, double seconds) {
  ordered_json json = {{"seconds", seconds},
                       {"ok", window.ok},
                       {"failed", window.failed},
                       {"ok_per_s", seconds > 0 ? window.ok / seconds : 0}};
  json.update(Latencies(window.latency));
  for (int kind = 0; kind < kKinds; ++kind) {
    const LatencyHistogram& latency = window.latency_of[kind];
    if (latency.count() == 0) continue;
    ordered_json of = {{"ok", latency.count()}};
    of.update(Latencies(latency));
    json["by"][std::string(ToString(static_cast<Kind>(kind)))] = std::move(of);
  }
  if (!window.failures.empty()) json["failures"] = window.failures;
  return json;
}

void Print(const Window& total, double seconds) {
  std::printf("\n%lu served, %lu failed in %.1f s: %.0f a second\n",
              static_cast<unsigned long>(total.ok), static_cast<unsigned long>(total.failed),
              seconds, seconds > 0 ? total.ok / seconds : 0);
  const auto line = [](std::string_view name, const LatencyHistogram& latency) {
    std::printf("%-8.*s %10lu   p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, max %.2f ms\n",
                static_cast<int>(name.size()), name.data(),
                static_cast<unsigned long>(latency.count()), latency.Quantile(0.5) / 1e3,
                latency.Quantile(0.99) / 1e3, latency.Quantile(0.999) / 1e3, latency.max() / 1e3);
  };
  line("all", total.latency);
  for (int kind = 0; kind < kKinds; ++kind) {
    const LatencyHistogram& latency = total.latency_of[kind];
    if (latency.count() > 0) line(ToString(static_cast<Kind>(kind)), latency);
  }
  for (const auto& [what, count] : total.failures) {
    std::printf("failed: %lu x %s\n", static_cast<unsigned long>(count), what.c_str());
  }
}

}  // namespace annulus::load
