#include "adapters/rocksdb/rocks_log.h"

#include <array>
#include <cstdio>

namespace annulus {

void RocksLog::Logv(const char* format, va_list arguments) {
  std::array<char, 1024> buffer;  // A longer line is cut.
  std::vsnprintf(buffer.data(), buffer.size(), format, arguments);
  std::string line(buffer.data());
  while (line.ends_with('\n')) line.pop_back();
  warn_("rocksdb: " + line);
}

}  // namespace annulus
