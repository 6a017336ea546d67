#pragma once

#include "absl/status/statusor.h"
#include "annulus/peer/v1/peer.pb.h"
#include "env/peer_messages.h"
#include "env/transport.h"

namespace annulus {

// env/peer_messages.h <-> annulus.peer.v1. Byte fields are moved, never copied, so each function
// takes its argument apart. `id`, `timeout_us` and `layout_version` are the caller's business.

void EncodeRequest(PeerRequest request, peer::v1::Request* out);
// INVALID_ARGUMENT: no body, or one with fields of a wrong size. DATA_LOSS: a damaged vector.
absl::StatusOr<PeerRequest> DecodeRequest(peer::v1::Request* request);

// An error becomes the Error body.
void EncodeReply(PeerResult reply, peer::v1::Reply* out);
// The peer's reply, or the status it answered with. INVALID_ARGUMENT and DATA_LOSS as above.
PeerResult DecodeReply(peer::v1::Reply* reply);

// With code, message and ErrorDetails (core/error.h).
void EncodeError(const absl::Status& status, peer::v1::Error* out);
absl::Status DecodeError(const peer::v1::Error& error);

// Bytes that a message will take on the wire, near enough for limits.
size_t ApproximateSize(const PeerRequest& request);
size_t ApproximateSize(const PeerReply& reply);

}  // namespace annulus
