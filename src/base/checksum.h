#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"

namespace annulus {

// XXH3-64, seed 0. The ring's hash, and the checksum of everything stored or sent.
uint64_t Hash64(BytesView bytes);

// Appends the checksum of what is there.
void AppendChecksum(Bytes* bytes);
// What stands before the checksum; nothing where the bytes were cut or altered.
std::optional<BytesView> TakeChecksum(BytesView bytes);

}  // namespace annulus
