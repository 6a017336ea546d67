#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/time.h"

namespace annulus {

// The operations of the public door. Those of a batch or a pipeline count by themselves, too.
enum class PublicOp : uint8_t {
  kPut,
  kGet,
  kDelete,
  kBatch,
  kPipeline,
  kScan,
  kStatus,
  kLayout,
  kLocate,
  kSetFaults,
  kGetFaults,
  kRepair,
};
inline constexpr int kPublicOps = 12;
std::string_view ToString(PublicOp op);

// Hears of every request that the public door takes, for metrics and the log. On the loop's thread.
class RequestObserver {
 public:
  virtual ~RequestObserver() = default;
  virtual void OnStart(PublicOp op) = 0;
  // `request_id` is empty where the request has none, else 16 bytes.
  virtual void OnEnd(PublicOp op, const absl::Status& status, Duration elapsed,
                     BytesView request_id) = 0;
};

}  // namespace annulus
