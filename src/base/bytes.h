#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace annulus {

// Raw bytes: keys, values, encoded records. Never text, never printed as it is.
using Bytes = std::string;
using BytesView = std::string_view;

// Appends to a string. Integers are little-endian unless the name says otherwise.
void PutFixed64(Bytes* out, uint64_t value);
void PutBigEndian16(Bytes* out, uint16_t value);
void PutBigEndian64(Bytes* out, uint64_t value);
void PutVarint(Bytes* out, uint64_t value);
// The bytes that PutVarint appends: 1 to 10.
constexpr size_t VarintSize(uint64_t value) {
  size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}
// varint(length), then the bytes.
void PutSized(Bytes* out, BytesView value);
// Keeps the order of byte strings when more is appended behind it: 0x00 becomes 0x00 0xff, and
// 0x00 0x01 ends the string.
void PutOrdered(Bytes* out, BytesView value);

// Takes from the front of a view. Each returns false, and leaves the reader failed, where the input
// is short or malformed; a failed reader stays failed, so that one look at the end is enough.
class ByteReader {
 public:
  explicit ByteReader(BytesView input) : rest_(input) {}

  bool Fixed64(uint64_t* value);
  bool BigEndian16(uint16_t* value);
  bool BigEndian64(uint64_t* value);
  bool Varint(uint64_t* value);  // Refuses encodings that are longer than they need be.
  bool Sized(BytesView* value);
  bool Ordered(Bytes* value);
  bool Byte(uint8_t* value);
  bool Take(size_t size, BytesView* value);

  bool ok() const { return ok_; }
  bool done() const { return ok_ && rest_.empty(); }
  BytesView rest() const { return rest_; }

 private:
  bool Fail() {
    ok_ = false;
    rest_ = {};
    return false;
  }

  BytesView rest_;
  bool ok_ = true;
};

}  // namespace annulus
