#include "bin/process_metrics.h"

#include "adapters/grpc/status_details.h"

namespace annulus {

ProcessMetrics::ProcessMetrics(const std::string& version)
    : ready_(registry_.Gauge("annulus_ready", "1 where requests are served")),
      layout_version_(registry_.Gauge("annulus_layout_version", "0 while there is no layout")),
      links_(registry_.Gauge("annulus_peer_links", "Links to peers")),
      links_up_(registry_.Gauge("annulus_peer_links_up", "Links to peers that stand")),
      uptime_(registry_.Gauge("annulus_uptime_seconds", "Since the start of the process")),
      faults_enabled_(registry_.Gauge("annulus_faults_enabled",
                                      "1 where --enable-faults lets faults be set: never in "
                                      "production")),
      faults_active_(registry_.Gauge("annulus_faults_active", "Faults that are set now")) {
  registry_.Gauge("annulus_build_info", "What runs; always 1", {{"version", version}})->Set(1);
  for (int op = 0; op < kPublicOps; ++op) {
    const std::string name(ToString(static_cast<PublicOp>(op)));
    requests_[op].in_flight = registry_.Gauge("annulus_requests_in_flight",
                                              "Requests of clients under way", {{"op", name}});
    requests_[op].latency =
        registry_.Histogram("annulus_request_seconds",
                            "From a request's arrival until its answer is handed "
                            "to gRPC",
                            {{"op", name}});
  }
}

void ProcessMetrics::RequestEnded(PublicOp op, absl::StatusCode code, Duration elapsed) {
  PerOp& per_op = requests_[Index(op)];
  per_op.in_flight->Add(-1);
  per_op.latency->Observe(elapsed);
  const absl::StatusCode seen = PublicCode(code);
  MetricCounter*& ended = per_op.ended[static_cast<int>(seen) % kCodes];
  if (ended == nullptr) {
    ended = registry_.Counter(
        "annulus_requests_total", "Requests of clients that have ended",
        {{"op", std::string(ToString(op))}, {"code", absl::StatusCodeToString(seen)}});
  }
  ended->Add();
}

void ProcessMetrics::Take(const Sample& sample) {
  ready_->Set(sample.ready ? 1 : 0);
  layout_version_->Set(static_cast<double>(sample.layout_version));
  links_->Set(static_cast<double>(sample.links));
  links_up_->Set(static_cast<double>(sample.links_up));
  uptime_->Set(ToSeconds(sample.uptime));
  faults_enabled_->Set(sample.faults_enabled ? 1 : 0);
  faults_active_->Set(static_cast<double>(sample.faults_active));
}

}  // namespace annulus
