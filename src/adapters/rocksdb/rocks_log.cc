#include "adapters/rocksdb/rocks_log.h"

#include <array>
#include <cstdio>

namespace annulus {

void RocksLog::Logv(const char* format, va_list arguments) {
  std::array<char, 1024> line;  // A longer one is cut.
  std::vsnprintf(line.data(), line.size(), format, arguments);
  std::fprintf(stderr, "annulus: rocksdb: %s\n", line.data());
}

}  // namespace annulus
