#include "adapters/log/logger.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <string>
#include <thread>
#include <vector>

namespace annulus {
namespace {

// What the body writes to standard error.
template <class Body>
std::string Captured(Body body) {
  testing::internal::CaptureStderr();
  body();
  return testing::internal::GetCapturedStderr();
}

TEST(Logger, WritesText) {
  const std::string line = Captured([] {
    Logger log(LogLevel::kInfo, LogFormat::kText, "node-1");
    log.SetLayoutVersion(3);
    log.Log(LogLevel::kWarn, "link_lost", {{"address", "h:1"}, {"why", "it \"broke\"\n"}});
  });
  EXPECT_TRUE(std::regex_match(
      line, std::regex("\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z warn  node-1 layout=3 "
                       "link_lost address=h:1 why=\"it \\\\\"broke\\\\\"\\\\u000a\"\n")))
      << line;
}

TEST(Logger, WritesJson) {
  const std::string line = Captured([] {
    Logger log(LogLevel::kInfo, LogFormat::kJson, "node-1");
    log.Log(LogLevel::kInfo, "event", "a \"detail\"");
  });
  EXPECT_TRUE(std::regex_match(
      line,
      std::regex("\\{\"time\":\"[^\"]*Z\",\"level\":\"info\",\"node\":\"node-1\",\"layout\":0,"
                 "\"event\":\"event\",\"detail\":\"a \\\\\"detail\\\\\"\"\\}\n")))
      << line;
}

TEST(Logger, LeavesOutWhatIsBelowItsLevel) {
  EXPECT_EQ(Captured([] {
              Logger log(LogLevel::kError, LogFormat::kText, "n");
              log.Log(LogLevel::kWarn, "event");
            }),
            "");
}

TEST(Logger, TakesLinesFromManyThreads) {
  const std::string lines = Captured([] {
    Logger log(LogLevel::kInfo, LogFormat::kText, "n");
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 100; ++i) log.Log(LogLevel::kInfo, "event");
      });
    }
    for (std::thread& thread : threads) thread.join();
  });
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 400);
}

TEST(LogSampler, LetsSomeLinesThroughEachSecondAndCountsTheRest) {
  LogSampler sampler(2);
  uint64_t skipped = 99;
  const Instant start(1h);
  EXPECT_TRUE(sampler.Take(start, &skipped));
  EXPECT_EQ(skipped, 0u);
  EXPECT_TRUE(sampler.Take(start + 1ms, &skipped));
  EXPECT_FALSE(sampler.Take(start + 2ms, &skipped));
  EXPECT_FALSE(sampler.Take(start + 999ms, &skipped));
  EXPECT_TRUE(sampler.Take(start + 1s, &skipped));
  EXPECT_EQ(skipped, 2u);
}

TEST(EscapeJson, KeepsUtf8AndEscapesTheRest) {
  EXPECT_EQ(EscapeJson("plain \xc3\xa9 \xf0\x9f\x98\x80"), "plain \xc3\xa9 \xf0\x9f\x98\x80");
  EXPECT_EQ(EscapeJson("\"\\\n\x01"), "\\\"\\\\\\u000a\\u0001");
  for (const char* bad :
       {"\x80", "\xff", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80"}) {
    EXPECT_NE(EscapeJson(bad).find("\\ufffd"), std::string::npos);
  }
  EXPECT_EQ(EscapeJson("\xc3"), "\\ufffd");
}

TEST(ParseLog, KnowsItsNames) {
  EXPECT_EQ(ParseLogLevel("warn"), LogLevel::kWarn);
  EXPECT_EQ(ParseLogLevel("WARN"), std::nullopt);
  EXPECT_EQ(ParseLogFormat("json"), LogFormat::kJson);
  EXPECT_EQ(ParseLogFormat(""), std::nullopt);
}

}  // namespace
}  // namespace annulus
