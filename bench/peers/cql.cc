#include "cql.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace annulus::peers::cql {
namespace {

constexpr uint8_t kRequest = 0x04, kResponse = 0x84;  // Of version 4.
constexpr size_t kHeaderBytes = 9;

enum Opcode : uint8_t {
  kError = 0x00,
  kStartup = 0x01,
  kReady = 0x02,
  kQuery = 0x07,
  kResult = 0x08,
  kPrepare = 0x09,
  kExecute = 0x0a,
};

constexpr uint8_t kFrameHasWarnings = 0x08;

constexpr uint16_t kQuorum = 0x0004;
constexpr uint8_t kQueryHasValues = 0x01, kQuerySkipsMetadata = 0x02;

constexpr uint32_t kResultRows = 2, kResultPrepared = 4;
constexpr uint32_t kRowsHaveMorePages = 0x02, kRowsHaveNoMetadata = 0x04;

void PutBigEndian32(Bytes* out, size_t value) {
  PutBigEndian16(out, static_cast<uint16_t>(value >> 16));
  PutBigEndian16(out, static_cast<uint16_t>(value));
}

void PutString(Bytes* out, BytesView value) {
  PutBigEndian16(out, static_cast<uint16_t>(value.size()));
  out->append(value);
}

void PutLongString(Bytes* out, BytesView value) {
  PutBigEndian32(out, value.size());
  out->append(value);
}

bool BigEndian32(ByteReader* reader, uint32_t* value) {
  uint16_t high = 0, low = 0;
  if (!reader->BigEndian16(&high) || !reader->BigEndian16(&low)) return false;
  *value = uint32_t{high} << 16 | low;
  return true;
}

bool String(ByteReader* reader, BytesView* value) {
  uint16_t size = 0;
  return reader->BigEndian16(&size) && reader->Take(size, value);
}

void PutFrame(Bytes* out, uint16_t stream, Opcode opcode, BytesView body) {
  out->push_back(static_cast<char>(kRequest));
  out->push_back(0);  // Flags.
  PutBigEndian16(out, stream);
  out->push_back(static_cast<char>(opcode));
  PutLongString(out, body);
}

absl::Status Malformed() { return absl::DataLossError("a malformed frame of Cassandra's"); }

absl::Status ToStatus(uint32_t code, BytesView message) {
  const std::string text = absl::StrCat("Cassandra: ", std::string(message));
  switch (code) {
    case 0x1000:  // Unavailable.
      return absl::UnavailableError(text);
    case 0x1001:  // Overloaded.
      return absl::ResourceExhaustedError(text);
    case 0x1100:  // Write timeout.
    case 0x1200:  // Read timeout.
      return absl::DeadlineExceededError(text);
    case 0x2000:  // Syntax error.
    case 0x2200:  // Invalid: a table that it does not know, for one.
      return absl::InvalidArgumentError(text);
    default:
      return absl::InternalError(text);
  }
}

bool SkipWarnings(ByteReader* reader) {
  uint16_t count = 0;
  BytesView warning;
  reader->BigEndian16(&count);
  for (; count > 0 && reader->ok(); --count) String(reader, &warning);
  return reader->ok();
}

absl::StatusOr<Answer> DecodeResult(ByteReader* reader) {
  Answer answer;
  uint32_t kind = 0;
  BigEndian32(reader, &kind);
  if (kind == kResultPrepared) {
    BytesView id;
    String(reader, &id);
    answer.prepared_id = id;
  } else if (kind == kResultRows) {
    uint32_t flags = 0, columns = 0;
    BigEndian32(reader, &flags);
    BigEndian32(reader, &columns);
    // Every query is for a row or none, and does without metadata.
    if ((flags & kRowsHaveMorePages) != 0 || (flags & kRowsHaveNoMetadata) == 0) return Malformed();
    BigEndian32(reader, &answer.rows);
  }
  if (!reader->ok()) return Malformed();
  return answer;
}

}  // namespace

void PutStartup(Bytes* out, uint16_t stream) {
  Bytes body;
  PutBigEndian16(&body, 1);  // Options.
  PutString(&body, "CQL_VERSION");
  PutString(&body, "3.0.0");
  PutFrame(out, stream, kStartup, body);
}

void PutQuery(Bytes* out, uint16_t stream, BytesView query) {
  Bytes body;
  PutLongString(&body, query);
  PutBigEndian16(&body, kQuorum);
  body.push_back(kQuerySkipsMetadata);
  PutFrame(out, stream, kQuery, body);
}

void PutPrepare(Bytes* out, uint16_t stream, BytesView query) {
  Bytes body;
  PutLongString(&body, query);
  PutFrame(out, stream, kPrepare, body);
}

void PutExecute(Bytes* out, uint16_t stream, BytesView id,
                std::initializer_list<BytesView> values) {
  Bytes body;
  PutString(&body, id);
  PutBigEndian16(&body, kQuorum);
  body.push_back(kQueryHasValues | kQuerySkipsMetadata);
  PutBigEndian16(&body, static_cast<uint16_t>(values.size()));
  for (BytesView value : values) PutLongString(&body, value);
  PutFrame(out, stream, kExecute, body);
}

size_t Frame::bytes() const { return kHeaderBytes + body.size(); }

absl::StatusOr<std::optional<Frame>> FirstFrame(BytesView input) {
  if (input.size() < kHeaderBytes) return std::nullopt;
  ByteReader reader(input);
  Frame frame;
  uint8_t version = 0;
  uint32_t size = 0;
  reader.Byte(&version);
  reader.Byte(&frame.flags);
  reader.BigEndian16(&frame.stream);
  reader.Byte(&frame.opcode);
  BigEndian32(&reader, &size);
  if (version != kResponse || size > kBodyBytesMax) return Malformed();
  if (!reader.Take(size, &frame.body)) return std::nullopt;
  return frame;
}

absl::StatusOr<Answer> Decode(const Frame& frame) {
  ByteReader reader(frame.body);
  // Other flags announce what was never asked for.
  if ((frame.flags & ~kFrameHasWarnings) != 0) return Malformed();
  if (frame.flags == kFrameHasWarnings && !SkipWarnings(&reader)) return Malformed();
  switch (frame.opcode) {
    case kReady:
      return Answer();
    case kResult:
      return DecodeResult(&reader);
    case kError: {
      uint32_t code = 0;
      BytesView message;
      BigEndian32(&reader, &code);
      if (!String(&reader, &message)) return Malformed();
      return ToStatus(code, message);
    }
    default:
      return absl::UnimplementedError(absl::StrCat("Cassandra answers with opcode ", frame.opcode));
  }
}

}  // namespace annulus::peers::cql
