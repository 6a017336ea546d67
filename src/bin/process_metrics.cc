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
  Follow(&NodeCounters::read_repairs, "annulus_read_repairs_total",
         "Records that reads sent to owners that lacked a part of them");
  Follow(&NodeCounters::record_cache_hits, "annulus_record_cache_hits_total",
         "Looks at this node's own copies that the record cache answered");
  Follow(&NodeCounters::record_cache_misses, "annulus_record_cache_misses_total",
         "Looks at this node's own copies that went to the database");
  Follow(&NodeCounters::hedges, "annulus_hedges_total",
         "Reads that were sent elsewhere after a silence");
  Follow(&NodeCounters::overloads, "annulus_overloads_total",
         "Requests refused, since too much was under way");
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
  if (sample.convergence.has_value()) TakeStorage(sample);
  for (const Followed& counter : followed_) {
    counter.shown->Add(sample.counters.*counter.source - counter.shown->value());
  }
}

void ProcessMetrics::Follow(uint64_t NodeCounters::*source, const char* name, const char* help) {
  followed_.push_back({source, registry_.Counter(name, help)});
}

void ProcessMetrics::TakeStorage(const Sample& sample) {
  if (convergence_age_ == nullptr) {
    convergence_age_ = registry_.Gauge(
        "annulus_convergence_age_seconds",
        "Since the start of the last exchange in which all owners of a partition took part and "
        "every difference was repaired, the most over this node's partitions; since the start of "
        "the process where there is one without");
    convergence_never_ =
        registry_.Gauge("annulus_convergence_never",
                        "Partitions of this node without such an exchange since its start");
    hints_ = registry_.Gauge("annulus_hints", "Writes kept here for members that did not answer");
    databases_set_aside_ =
        registry_.Gauge("annulus_databases_set_aside",
                        "Damaged databases in the data directory that were set aside "
                        "(quarantine-N): look at them, then remove them");
    hint_bytes_ = registry_.Gauge("annulus_hint_bytes", "Of these writes");
    Follow(&NodeCounters::hints_stored, "annulus_hints_stored_total",
           "Hints written, or added to, here");
    Follow(&NodeCounters::hints_refused, "annulus_hints_refused_total",
           "Hints not written, since they were at their limit (hint_mb)");
    Follow(&NodeCounters::hints_replayed, "annulus_hints_replayed_total",
           "Hints that their targets have confirmed");
    Follow(&NodeCounters::rounds, "annulus_aae_rounds_total",
           "Comparisons of this node's hash trees with those of the other owners");
    Follow(&NodeCounters::exchanges, "annulus_aae_exchanges_total",
           "Partitions whose leaves were compared, since their roots differed");
    Follow(&NodeCounters::leaves_differed, "annulus_aae_leaves_differed_total",
           "Leaves that differed in them");
    Follow(&NodeCounters::records_fetched, "annulus_aae_records_fetched_total",
           "Records fetched from other owners");
    Follow(&NodeCounters::records_sent, "annulus_aae_records_sent_total",
           "Records sent to other owners");
    Follow(&NodeCounters::bytes_moved, "annulus_aae_bytes_total", "Of these records");
    Follow(&NodeCounters::partitions_scrubbed, "annulus_aae_scrubbed_total",
           "Partitions whose leaves were compared with their data");
    Follow(&NodeCounters::leaves_corrected, "annulus_aae_leaves_corrected_total",
           "Leaves that were not what their data says");
    rebuilding_ = registry_.Gauge("annulus_rebuilding_partitions",
                                  "Partitions that this node rebuilds from their other owners");
    untold_ = registry_.Gauge("annulus_untold_partitions",
                              "Partitions of this node that no other owner has told it the epochs "
                              "of since its start: it does not serve them");
    reap_blocked_ = registry_.Gauge("annulus_reap_blocked_partitions",
                                    "Partitions with tombstones that could not be deleted, since a "
                                    "member did not answer or stood in the way (see status)");
    Follow(&NodeCounters::hints_stale, "annulus_hints_stale_total",
           "Hints dropped since they had been delivered before a tombstone was deleted");
    Follow(&NodeCounters::hints_damaged, "annulus_hints_damaged_total",
           "Hints dropped since their checksum failed");
    Follow(&NodeCounters::records_damaged, "annulus_records_damaged_total",
           "Copies dropped, and fetched again, since their checksum failed");
    Follow(&NodeCounters::reap_rounds, "annulus_reap_rounds_total",
           "Rounds of reaping that this node has driven to their end");
    Follow(&NodeCounters::reap_rounds_failed, "annulus_reap_rounds_failed_total",
           "Rounds that it gave up");
    Follow(&NodeCounters::tombstones_reaped, "annulus_tombstones_reaped_total",
           "Tombstones, and values long expired, that were deleted here for good");
    Follow(&NodeCounters::partitions_set_aside, "annulus_partitions_set_aside_total",
           "Partitions dropped and rebuilt since this node's disk was older than what others had "
           "deleted");
    Follow(&NodeCounters::partitions_rebuilt, "annulus_partitions_rebuilt_total",
           "Partitions that were rebuilt");
  }
  rebuilding_->Set(sample.reap.rebuilding);
  untold_->Set(sample.reap.untold);
  reap_blocked_->Set(sample.reap.blocked);
  const ConvergenceView& view = *sample.convergence;
  const Duration age = view.never > 0 ? sample.uptime : view.age.value_or(Duration(0));
  convergence_age_->Set(ToSeconds(age));
  convergence_never_->Set(view.never);
  hints_->Set(static_cast<double>(sample.hints.entries));
  databases_set_aside_->Set(sample.databases_set_aside);
  hint_bytes_->Set(static_cast<double>(sample.hints.bytes));
}

}  // namespace annulus
