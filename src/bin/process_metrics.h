#pragma once

#include <optional>
#include <string>
#include <vector>

#include "adapters/grpc/request_observer.h"
#include "adapters/metrics/metrics.h"
#include "node/api.h"

namespace annulus {

// The first set of metrics: what a process is, and what its public door does. Written on the loop's
// thread.
class ProcessMetrics {
 public:
  explicit ProcessMetrics(const std::string& version);

  void RequestStarted(PublicOp op) { requests_[Index(op)].in_flight->Add(1); }
  void RequestEnded(PublicOp op, absl::StatusCode code, Duration elapsed);

  struct Sample {
    bool ready = false;
    uint64_t layout_version = 0;
    size_t links = 0;
    size_t links_up = 0;
    Duration uptime{0};
    bool faults_enabled = false;
    size_t faults_active = 0;
    NodeCounters counters;
    std::optional<ConvergenceView> convergence;  // Of a node.
    HintLedger::Account hints;                   // The same.
    ReapView reap;
    int databases_set_aside = 0;  // The same.
  };
  void Take(const Sample& sample);

  std::string Render() const { return registry_.Render(); }

 private:
  static constexpr int kCodes = 17;
  struct PerOp {
    MetricGauge* in_flight = nullptr;
    MetricHistogram* latency = nullptr;
    MetricCounter* ended[kCodes] = {};  // Made when first needed.
  };
  // A counter of the node, and the one that shows it.
  struct Followed {
    uint64_t NodeCounters::*source;
    MetricCounter* shown;
  };
  void Follow(uint64_t NodeCounters::*source, const char* name, const char* help);
  void TakeStorage(const Sample& sample);
  static int Index(PublicOp op) { return static_cast<int>(op); }

  MetricRegistry registry_;
  PerOp requests_[kPublicOps];
  MetricGauge* ready_;
  MetricGauge* layout_version_;
  MetricGauge* links_;
  MetricGauge* links_up_;
  MetricGauge* uptime_;
  MetricGauge* faults_enabled_;
  MetricGauge* faults_active_;
  // Of a node; made when it first says something.
  MetricGauge* convergence_age_ = nullptr;
  MetricGauge* convergence_never_ = nullptr;
  MetricGauge* hints_ = nullptr;
  MetricGauge* hint_bytes_ = nullptr;
  MetricGauge* rebuilding_ = nullptr;
  MetricGauge* untold_ = nullptr;
  MetricGauge* reap_blocked_ = nullptr;
  MetricGauge* databases_set_aside_ = nullptr;
  std::vector<Followed> followed_;
};

}  // namespace annulus
