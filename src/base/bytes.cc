#include "base/bytes.h"

namespace annulus {

void PutBigEndian16(Bytes* out, uint16_t value) {
  const char bytes[] = {static_cast<char>(value >> 8), static_cast<char>(value)};
  out->append(bytes, sizeof bytes);
}

void PutBigEndian64(Bytes* out, uint64_t value) {
  char bytes[8];
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (56 - 8 * i));
  out->append(bytes, sizeof bytes);
}

void PutSized(Bytes* out, BytesView value) {
  PutVarint(out, value.size());
  out->append(value);
}

void PutOrdered(Bytes* out, BytesView value) {
  for (size_t zero; (zero = value.find('\0')) != BytesView::npos; value.remove_prefix(zero + 1)) {
    out->append(value.substr(0, zero)).append("\x00\xff", 2);
  }
  out->append(value).append("\x00\x01", 2);
}

bool ByteReader::BigEndian16(uint16_t* value) {
  BytesView bytes;
  if (!Take(2, &bytes)) return false;
  *value =
      static_cast<uint16_t>((static_cast<uint8_t>(bytes[0]) << 8) | static_cast<uint8_t>(bytes[1]));
  return true;
}

bool ByteReader::BigEndian64(uint64_t* value) {
  BytesView bytes;
  if (!Take(8, &bytes)) return false;
  *value = 0;
  for (char byte : bytes) *value = (*value << 8) | static_cast<uint8_t>(byte);
  return true;
}

bool ByteReader::LongVarint(uint64_t* value) {
  uint64_t result = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    uint8_t byte;
    if (!Byte(&byte)) return false;
    const uint64_t part = byte & 0x7f;
    if (shift == 63 && part > 1) return Fail();
    result |= part << shift;
    if ((byte & 0x80) == 0) {
      if (byte == 0 && shift > 0) return Fail();
      *value = result;
      return true;
    }
  }
  return Fail();
}

bool ByteReader::Sized(BytesView* value) {
  uint64_t size;
  return Varint(&size) && Take(size, value);
}

bool ByteReader::Ordered(Bytes* value) {
  value->clear();
  while (true) {
    uint8_t byte;
    if (!Byte(&byte)) return false;
    if (byte != 0) {
      value->push_back(static_cast<char>(byte));
      continue;
    }
    if (!Byte(&byte)) return false;
    if (byte == 0x01) return true;
    if (byte != 0xff) return Fail();
    value->push_back('\0');
  }
}

}  // namespace annulus
