#pragma once

#include <cstdarg>

#include "rocksdb/env.h"

namespace annulus {

// RocksDB's warnings and errors, on standard error. Not its own LOG file: that one lies on the disk
// whose failures it should tell, and Debian's build, which has assertions on, aborts when it writes
// to its LOG again after the disk was full.
class RocksLog final : public rocksdb::Logger {
 public:
  RocksLog() : rocksdb::Logger(rocksdb::InfoLogLevel::WARN_LEVEL) {}

  using rocksdb::Logger::Logv;
  void Logv(const char* format, va_list arguments) override;
};

}  // namespace annulus
