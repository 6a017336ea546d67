#pragma once

#include <string>

#include "absl/status/status.h"
#include "annulus/kv/v1/kv.pb.h"
#include "core/error.h"
#include "grpcpp/support/status.h"

namespace annulus {

// Failures of calls as absl::Status, with core's ErrorDetails as payload: reason, outcome of a
// write, acks, when to try again. Reasons that arise on this side:
inline constexpr char kUnreachable[] = "UNREACHABLE";         // No connection; nothing was sent.
inline constexpr char kConnectionLost[] = "CONNECTION_LOST";  // It broke with the call under way.
inline constexpr char kTimeout[] = "TIMEOUT";                 // No answer in time.
inline constexpr char kTooLarge[] = "MESSAGE_TOO_LARGE";      // Never sent, or refused unread.

enum class CallKind { kRead, kWrite };

// Decodes google.rpc.ErrorInfo and RetryInfo. A write that failed without saying how is UNKNOWN,
// unless its code shows that no handler ever saw it.
absl::Status FromGrpc(const grpc::Status& status, CallKind kind);
absl::Status FromOperationError(const kv::v1::OperationError& error, CallKind kind);

absl::Status UnreachableError(std::string message, CallKind kind);

// Whether the same call, a write under the same request_id, may succeed a moment later.
bool WorthRetrying(const absl::Status& status);
// Whether another endpoint is more likely to serve it.
bool BlamesEndpoint(const absl::Status& status);

// The outcome of several attempts is UNKNOWN as soon as one of them was.
absl::Status WithEarlierOutcome(absl::Status last, bool earlier_unknown);

}  // namespace annulus
