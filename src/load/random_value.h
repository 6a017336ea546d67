#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/random.h"

namespace annulus::load {

// A value that no compression makes smaller.
inline std::string RandomValue(size_t bytes, Random* random) {
  std::string value(bytes, '\0');
  for (size_t i = 0; i < value.size(); i += 8) {
    const uint64_t bits = random->Next();
    std::memcpy(value.data() + i, &bits, std::min<size_t>(8, value.size() - i));
  }
  return value;
}

}  // namespace annulus::load
