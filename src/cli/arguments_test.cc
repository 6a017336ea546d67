// What people type: durations, endpoints, misspelt words; and what they are shown: tables,
// progress.
#include "cli/duration.h"
#include "cli/endpoints.h"
#include "cli/progress.h"
#include "cli/suggest.h"
#include "cli/table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace annulus::cli {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(DurationTest, TakesUnitsAndSums) {
  EXPECT_EQ(*ParseDuration("250ms", "x"), milliseconds(250));
  EXPECT_EQ(*ParseDuration("10s", "x"), milliseconds(10'000));
  EXPECT_EQ(*ParseDuration("1h30m", "x"), milliseconds(5'400'000));
  EXPECT_EQ(*ParseDuration("1.5s", "x"), milliseconds(1500));
  EXPECT_EQ(*ParseDuration("2w", "x"), milliseconds(14LL * 86400 * 1000));
  EXPECT_EQ(*ParseDuration("0s", "x"), milliseconds(0));
}

TEST(DurationTest, RefusesWhatHasNoMeaning) {
  for (const char* text : {"", "10", "s", "-5s", "10x", "1h 30m", "ten", "1e9d", "0.0001ms",
                           "1.2.3s", "999999999w", "nan"}) {
    const auto parsed = ParseDuration(text, "--ttl");
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr("--ttl"));
  }
}

TEST(DurationTest, ForPeople) {
  EXPECT_EQ(HumanDuration(2.34), "2.3 s");
  EXPECT_EQ(HumanDuration(245), "4m05s");
  EXPECT_EQ(HumanDuration(7380), "2h03m");
}

TEST(EndpointsTest, TakesListsAndDefaultPorts) {
  EXPECT_THAT(*ParseEndpoints("a:1,b:2, a:1 c"), ElementsAre("a:1", "b:2", "c:50051"));
  EXPECT_THAT(*ParseEndpoints("[::1]:7,[::1]"), ElementsAre("[::1]:7", "[::1]:50051"));
}

TEST(EndpointsTest, SaysWhatIsWrong) {
  for (const char* text : {"", ",", "a:0", "a:65536", "a:x", ":5", "::1", "http://a:80", "a:"}) {
    EXPECT_FALSE(ParseEndpoints(text).ok()) << text;
  }
  EXPECT_EQ(ParseHostPort("[::1]:8080")->host, "::1");
  EXPECT_EQ(ParseHostPort("h:8080")->port, 8080);
  EXPECT_FALSE(ParseHostPort("h").ok());
}

TEST(SuggestTest, FindsWhatWasMeant) {
  const std::vector<std::string> flags = {"--bucket", "--context", "--consistency", "--endpoints"};
  EXPECT_EQ(Nearest("--bukcet", flags), "--bucket");
  EXPECT_EQ(Nearest("--endpoint", flags), "--endpoints");
  EXPECT_EQ(Nearest("--con", flags), "--context");
  EXPECT_EQ(Nearest("--xyz", flags), "");
  EXPECT_EQ(Nearest("", flags), "");
}

TEST(TableTest, AlignsTextLeftAndNumbersRight) {
  Table table({"name", "n"});
  table.Add({"z\xc3\xbcrich", "1,000"});
  table.Add({"a", "7"});
  EXPECT_EQ(table.ToString(),
            "name        n\n"
            "z\xc3\xbcrich  1,000\n"
            "a           7\n");
}

TEST(ProgressTest, ShowsShareRateAndRest) {
  EXPECT_EQ(ProgressLine("import", {500, 50}, 100, 10),
            "import  [============>           ]  50%  500 records  50/s  10.0 s left");
  EXPECT_EQ(ProgressLine("import", {500, 200}, 100, 10),  // A file that grew meanwhile.
            "import  [========================] 100%  500 records  50/s  0.0 s left");
  EXPECT_EQ(ProgressLine("export", {1500, 2048}, 0, 10),
            "export  1,500 records  150/s  2.0 KiB  10.0 s");
}

}  // namespace
}  // namespace annulus::cli
