#include "base/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace annulus {

uint64_t Hash64(BytesView bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace annulus
