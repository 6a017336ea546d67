#pragma once

#include "adapters/grpc/request_observer.h"
#include "adapters/log/logger.h"
#include "bin/process_metrics.h"
#include "task/loop.h"

namespace annulus {

// Counts every request, and writes down those that failed through no fault of the caller, or were
// slow; at most a few a second.
class RequestLog final : public RequestObserver {
 public:
  RequestLog(const Loop* loop, Logger* log, ProcessMetrics* metrics)
      : loop_(loop), log_(log), metrics_(metrics) {}

  void OnStart(PublicOp op) override { metrics_->RequestStarted(op); }
  void OnEnd(PublicOp op, const absl::Status& status, Duration elapsed,
             BytesView request_id) override;

 private:
  const Loop* loop_;
  Logger* log_;
  ProcessMetrics* metrics_;
  LogSampler sampler_{10};
};

}  // namespace annulus
