#include "adapters/log/logger.h"

#include <spdlog/async.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace annulus {
namespace {

constexpr size_t kQueueLinesMax = 8192;

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::string_view Name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarn:
      return "warn";
    case LogLevel::kError:
      return "error";
  }
  return "info";
}

// Bytes of the UTF-8 sequence at the front of `text`; 0 where there is none.
size_t SequenceLength(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto continues = [&](size_t i) { return i < text.size() && (byte(i) & 0xc0) == 0x80; };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf && continues(1)) return 2;
  if (first >= 0xe0 && first <= 0xef && continues(1) && continues(2)) {
    const bool overlong = first == 0xe0 && byte(1) < 0xa0;
    const bool surrogate = first == 0xed && byte(1) >= 0xa0;
    return overlong || surrogate ? 0 : 3;
  }
  if (first >= 0xf0 && first <= 0xf4 && continues(1) && continues(2) && continues(3)) {
    const bool overlong = first == 0xf0 && byte(1) < 0x90;
    const bool beyond = first == 0xf4 && byte(1) >= 0x90;
    return overlong || beyond ? 0 : 4;
  }
  return 0;
}

// A value with a space or a quote is quoted, so that lines can be cut into fields again.
std::string EscapeText(std::string_view text) {
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c != '"' && c != '\\' && c != 0x7f;
  });
  if (plain) return std::string(text);
  return '"' + EscapeJson(text) + '"';
}

}  // namespace

std::optional<LogLevel> ParseLogLevel(std::string_view text) {
  if (text == "debug") return LogLevel::kDebug;
  if (text == "info") return LogLevel::kInfo;
  if (text == "warn") return LogLevel::kWarn;
  if (text == "error") return LogLevel::kError;
  return std::nullopt;
}

std::optional<LogFormat> ParseLogFormat(std::string_view text) {
  if (text == "text") return LogFormat::kText;
  if (text == "json") return LogFormat::kJson;
  return std::nullopt;
}

std::string EscapeJson(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const char c = text.front();
    const size_t length = SequenceLength(text);
    if (length == 0) {
      out += "\\ufffd";
      text.remove_prefix(1);
      continue;
    }
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      char escaped[8];
      std::snprintf(escaped, sizeof(escaped), "\\u%04x", static_cast<unsigned>(c));
      out += escaped;
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return out;
}

struct Logger::Sink {
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<spdlog::async_logger> logger;
};

Logger::Logger(LogLevel level, LogFormat format, std::string node)
    : format_(format), node_(std::move(node)), sink_(std::make_unique<Sink>()) {
  sink_->pool = std::make_shared<spdlog::details::thread_pool>(kQueueLinesMax, 1);
  sink_->logger = std::make_shared<spdlog::async_logger>(
      "annulus", std::make_shared<spdlog::sinks::stderr_sink_mt>(), sink_->pool,
      spdlog::async_overflow_policy::overrun_oldest);
  sink_->logger->set_level(ToSpdlog(level));
  sink_->logger->set_pattern(format == LogFormat::kJson ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ",%v})"
                                                        : "%Y-%m-%dT%H:%M:%S.%eZ %v",
                             spdlog::pattern_time_type::utc);
}

Logger::~Logger() = default;

void Logger::Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  const spdlog::level::level_enum at = ToSpdlog(level);
  if (!sink_->logger->should_log(at)) return;
  const std::string layout = std::to_string(layout_version_.load());
  std::string line;
  if (format_ == LogFormat::kJson) {
    line = "\"level\":\"" + std::string(Name(level)) + "\",\"node\":\"" + EscapeJson(node_) +
           "\",\"layout\":" + layout + ",\"event\":\"" + EscapeJson(event) + '"';
    for (const LogField& field : fields) {
      line += ",\"";
      line += field.key;
      line += "\":\"";
      line += EscapeJson(field.value);
      line += '"';
    }
  } else {
    line = std::string(Name(level)) + std::string(6 - Name(level).size(), ' ') + node_ +
           " layout=" + layout + ' ' + std::string(event);
    for (const LogField& field : fields) {
      line += ' ';
      line += field.key;
      line += '=';
      line += EscapeText(field.value);
    }
  }
  sink_->logger->log(at, spdlog::string_view_t(line.data(), line.size()));
}

void Logger::Log(LogLevel level, std::string_view event, std::string_view detail) {
  if (detail.empty()) {
    Log(level, event);
  } else {
    Log(level, event, {{"detail", std::string(detail)}});
  }
}

bool LogSampler::Take(Instant now, uint64_t* skipped) {
  if (now - second_ >= 1s) {
    second_ = now;
    taken_ = 0;
  }
  if (taken_ >= lines_per_second_) {
    ++skipped_;
    return false;
  }
  ++taken_;
  *skipped = std::exchange(skipped_, 0);
  return true;
}

}  // namespace annulus
