#pragma once

#include <cstdarg>
#include <functional>
#include <string>
#include <utility>

#include "rocksdb/env.h"

namespace annulus {

// Hands RocksDB's warnings and errors on, a line each. RocksDB's own LOG file is not used: it lies
// on the disk whose failures it should tell, and Debian's build, which has assertions on, aborts
// when it writes to it again after the disk was full.
class RocksLog final : public rocksdb::Logger {
 public:
  explicit RocksLog(std::function<void(const std::string&)> warn)
      : rocksdb::Logger(rocksdb::InfoLogLevel::WARN_LEVEL), warn_(std::move(warn)) {}

  using rocksdb::Logger::Logv;
  void Logv(const char* format, va_list arguments) override;

 private:
  const std::function<void(const std::string&)> warn_;
};

}  // namespace annulus
