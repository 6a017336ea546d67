#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "base/strong_id.h"
#include "base/time.h"

namespace annulus {

// How this process speaks to its peers. The defaults are what DESIGN sections 2 and 10 promise.
struct TransportOptions {
  std::string cluster;

  // A frame is closed at about this size, unless one message alone is larger.
  size_t frame_bytes_max = 1 << 20;
  size_t message_bytes_max = 64 << 20;

  // Under way on one link, sent or not. Over it a call fails at once, so that one slow peer cannot
  // collect the work of the whole process.
  size_t calls_max = 8192;
  size_t call_bytes_max = 64 << 20;

  // Taken from one incoming stream and not answered yet. Beyond it the stream is not read, and flow
  // control stops the peer.
  size_t requests_max = 8192;
  size_t request_bytes_max = 64 << 20;

  // A failed dial is followed by the next one this long after it began; one that the peer refused,
  // by the longer time.
  Duration dial_interval = 500ms;
  Duration refused_interval = 1s;
  // A dial that has brought no hello by then is given up: the address may be of yesterday.
  Duration hello_timeout = 1500ms;
  // How long after the start of a redial calls are still queued for it.
  Duration redial_patience = 200ms;

  // A half-open connection is found within the sum of these.
  Duration keepalive_time = 2s;
  Duration keepalive_timeout = 2s;
};

// Who this process is, told to peers in the hello. Unknown until the node has read its store.
struct PeerIdentity {
  bool known = false;
  NodeId id;
  Incarnation incarnation;
};

// What happened on the links, for the log. On the loop's thread.
using TransportEvents = absl::AnyInvocable<void(std::string_view event, std::string_view detail)>;

inline constexpr uint32_t kPeerProtocol = 1;

}  // namespace annulus
