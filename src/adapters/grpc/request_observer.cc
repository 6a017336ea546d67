#include "adapters/grpc/request_observer.h"

namespace annulus {

std::string_view ToString(PublicOp op) {
  switch (op) {
    case PublicOp::kPut:
      return "put";
    case PublicOp::kGet:
      return "get";
    case PublicOp::kDelete:
      return "delete";
    case PublicOp::kBatch:
      return "batch";
    case PublicOp::kPipeline:
      return "pipeline";
    case PublicOp::kScan:
      return "scan";
    case PublicOp::kStatus:
      return "status";
    case PublicOp::kLayout:
      return "layout";
    case PublicOp::kLocate:
      return "locate";
    case PublicOp::kSetFaults:
      return "set_faults";
    case PublicOp::kGetFaults:
      return "get_faults";
    case PublicOp::kRepair:
      return "repair";
  }
  return "unknown";
}

}  // namespace annulus
