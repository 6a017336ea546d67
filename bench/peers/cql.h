#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>

#include "absl/status/statusor.h"
#include "base/bytes.h"

// CQL's native protocol, version 4, as far as a load speaks it (Cassandra's
// native_protocol_v4.spec): frames of 9 bytes of header and a body, told apart by their stream.
namespace annulus::peers::cql {

// A quarter of a frame's limit is far more than any answer to a load has.
inline constexpr size_t kBodyBytesMax = 64 << 20;
// Streams are never negative.
inline constexpr uint16_t kStreams = 1 << 15;

void PutStartup(Bytes* out, uint16_t stream);
void PutQuery(Bytes* out, uint16_t stream, BytesView query);
void PutPrepare(Bytes* out, uint16_t stream, BytesView query);
// With consistency QUORUM. `id` is what the node that it goes to called the prepared query.
void PutExecute(Bytes* out, uint16_t stream, BytesView id, std::initializer_list<BytesView> values);

// What a node said, in the bytes that it was taken from.
struct Frame {
  uint16_t stream = 0;
  uint8_t flags = 0;
  uint8_t opcode = 0;
  BytesView body;

  size_t bytes() const;  // All of it.
};

// The first frame of what came; nothing while it is not whole. An error where it is no answer of
// this version, or too long.
absl::StatusOr<std::optional<Frame>> FirstFrame(BytesView input);

struct Answer {
  Bytes prepared_id;
  uint32_t rows = 0;
};

// An error where the node says so (with its words), or where the frame is malformed.
absl::StatusOr<Answer> Decode(const Frame& frame);

}  // namespace annulus::peers::cql
