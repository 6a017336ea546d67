#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace annulus {

// Raw bytes: keys, values, encoded records. Never text, never printed as it is.
using Bytes = std::string;
using BytesView = std::string_view;

namespace internal {
// Either way round.
inline uint64_t LittleEndian(uint64_t value) {
  if constexpr (std::endian::native == std::endian::big) return __builtin_bswap64(value);
  return value;
}
}  // namespace internal

// Appends to a string. Integers are little-endian unless the name says otherwise.
inline void PutFixed64(Bytes* out, uint64_t value) {
  value = internal::LittleEndian(value);
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}
void PutBigEndian16(Bytes* out, uint16_t value);
void PutBigEndian64(Bytes* out, uint64_t value);
inline void PutVarint(Bytes* out, uint64_t value) {
  char bytes[10];
  size_t size = 0;
  for (; value >= 0x80; value >>= 7) bytes[size++] = static_cast<char>(value | 0x80);
  bytes[size++] = static_cast<char>(value);
  out->append(bytes, size);
}
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

  bool Fixed64(uint64_t* value) {
    BytesView bytes;
    if (!Take(sizeof *value, &bytes)) return false;
    std::memcpy(value, bytes.data(), sizeof *value);
    *value = internal::LittleEndian(*value);
    return true;
  }
  bool BigEndian16(uint16_t* value);
  bool BigEndian64(uint64_t* value);
  // Refuses encodings that are longer than they need be.
  bool Varint(uint64_t* value) {
    if (ok_ && !rest_.empty() && static_cast<uint8_t>(rest_[0]) < 0x80) {  // Nearly always.
      *value = static_cast<uint8_t>(rest_[0]);
      rest_.remove_prefix(1);
      return true;
    }
    return LongVarint(value);
  }
  bool Sized(BytesView* value);
  bool Ordered(Bytes* value);
  bool Byte(uint8_t* value) {
    BytesView bytes;
    if (!Take(1, &bytes)) return false;
    *value = static_cast<uint8_t>(bytes[0]);
    return true;
  }
  bool Take(size_t size, BytesView* value) {
    if (!ok_ || rest_.size() < size) return Fail();
    *value = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }

  bool ok() const { return ok_; }
  bool done() const { return ok_ && rest_.empty(); }
  BytesView rest() const { return rest_; }

 private:
  bool LongVarint(uint64_t* value);
  bool Fail() {
    ok_ = false;
    rest_ = {};
    return false;
  }

  BytesView rest_;
  bool ok_ = true;
};

}  // namespace annulus
