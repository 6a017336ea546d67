#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"

namespace annulus {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarn, kError };
enum class LogFormat : uint8_t { kText, kJson };

// "debug", "info", "warn", "error"; nullopt for anything else.
std::optional<LogLevel> ParseLogLevel(std::string_view text);
// "text", "json".
std::optional<LogFormat> ParseLogFormat(std::string_view text);

struct LogField {
  std::string_view key;  // snake_case
  std::string value;
};

// Writes lines to standard error:
//   text  2026-01-02T03:04:05.678Z info  node-1 layout=3 link_up address=node-2:50052
//   json  {"time":"2026-01-02T03:04:05.678Z","level":"info","node":"node-1","layout":3,
//          "event":"link_up","address":"node-2:50052"}
//
// Every method may be called from any thread and never waits for the output: a thread of its own
// writes, and where it cannot keep up (somebody has stopped reading the pipe) the oldest lines are
// dropped.
class Logger {
 public:
  Logger(LogLevel level, LogFormat format, std::string node);
  // Writes what is left.
  ~Logger();

  void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});
  // For events that come as one word and a sentence (node/node.h EventSink).
  void Log(LogLevel level, std::string_view event, std::string_view detail);

  // Goes with every later line.
  void SetLayoutVersion(uint64_t version) { layout_version_.store(version); }

 private:
  struct Sink;
  const LogFormat format_;
  const std::string node_;
  std::atomic<uint64_t> layout_version_{0};
  std::unique_ptr<Sink> sink_;
};

// At most so many lines a second, so that a failing disk or client does not fill the log's disk
// too. Not thread-safe.
class LogSampler {
 public:
  explicit LogSampler(uint32_t lines_per_second) : lines_per_second_(lines_per_second) {}
  // Whether this line may be written. `skipped`: how many were not since the last that was.
  bool Take(Instant now, uint64_t* skipped);

 private:
  const uint32_t lines_per_second_;
  Instant second_;
  uint32_t taken_ = 0;
  uint64_t skipped_ = 0;
};

// As the inside of a JSON string: quotes, backslashes and control bytes are escaped, bytes that are
// no UTF-8 become U+FFFD.
std::string EscapeJson(std::string_view text);

}  // namespace annulus
