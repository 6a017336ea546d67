#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace annulus {

// How a failure leaves the public door: the code, the message, and in the details (the metadata
// "grpc-status-details-bin") a google.rpc.Status with
// - google.rpc.ErrorInfo: domain "annulus", the reason; of a failed write also the metadata
//   "outcome", "acks_primaries", "acks_fallbacks" and "acks_required";
// - google.rpc.RetryInfo, where it is known when to try again.
//
// UNKNOWN and INTERNAL never leave it: they become UNAVAILABLE, since what they stand for (a fault
// inside one process) is over when another process, or the same one restarted, is asked. The reason
// still tells them apart.
grpc::Status ToGrpcStatus(const absl::Status& status);

// The code that ToGrpcStatus gives.
absl::StatusCode PublicCode(absl::StatusCode code);

}  // namespace annulus
