#include "client/request_id.h"

#include <cstdint>

#include "absl/random/random.h"

namespace annulus {

std::string NewRequestId() {
  thread_local absl::BitGen generator;
  std::string id;
  for (int i = 0; i < 2; ++i) {
    const uint64_t word = absl::Uniform<uint64_t>(generator);
    id.append(reinterpret_cast<const char*>(&word), sizeof(word));
  }
  return id;
}

}  // namespace annulus
