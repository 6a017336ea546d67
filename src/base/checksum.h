#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace annulus {

// XXH3-64, seed 0. The ring's hash, and the checksum of everything stored or sent.
uint64_t Hash64(BytesView bytes);

}  // namespace annulus
