#include "base/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace annulus {

uint64_t Hash64(BytesView bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

void AppendChecksum(Bytes* bytes) { PutFixed64(bytes, Hash64(*bytes)); }

std::optional<BytesView> TakeChecksum(BytesView bytes) {
  constexpr size_t kSize = 8;
  if (bytes.size() < kSize) return std::nullopt;
  const BytesView body = bytes.substr(0, bytes.size() - kSize);
  uint64_t checksum = 0;
  ByteReader(bytes.substr(body.size())).Fixed64(&checksum);
  if (checksum != Hash64(body)) return std::nullopt;
  return body;
}

}  // namespace annulus
