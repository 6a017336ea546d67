#include "cli/record_file.h"

#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace annulus::cli {
namespace {

using testing::HasSubstr;

std::string WriteFile(const std::string& name, const std::string& text) {
  const std::string path = testing::TempDir() + name;
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

std::string Error(const std::string& line) {
  Record record;
  return std::string(ParseJsonRecord(line, &record).message());
}

TEST(JsonLinesTest, TakesTextAndBase64) {
  Record record;
  ASSERT_TRUE(ParseJsonRecord(R"({"key":"k\n","value":"v","sort_key":"s"})", &record).ok());
  EXPECT_EQ(record.key, "k\n");
  EXPECT_EQ(record.sort_key, "s");
  ASSERT_EQ(record.values.size(), 1u);
  EXPECT_EQ(record.values[0].bytes, "v");

  ASSERT_TRUE(ParseJsonRecord(R"({"key_base64":"AP8=","value_base64":"/w=="})", &record).ok());
  EXPECT_EQ(record.key, std::string("\0\xff", 2));
  EXPECT_EQ(record.sort_key, "");
  EXPECT_EQ(record.values[0].bytes, "\xff");

  ASSERT_TRUE(ParseJsonRecord(R"({"key":"k","value":""})", &record).ok());
  EXPECT_EQ(record.values[0].bytes, "");
}

TEST(JsonLinesTest, TakesSiblingsExpiriesAndTombstones) {
  Record record;
  ASSERT_TRUE(
      ParseJsonRecord(
          R"({"key":"k","siblings":[{"value":"a","expires_us":5},{"value_base64":"/w=="}]})",
          &record)
          .ok());
  ASSERT_EQ(record.values.size(), 2u);
  EXPECT_EQ(record.values[0].expires_us, 5);
  EXPECT_EQ(record.values[1].bytes, "\xff");
  ASSERT_TRUE(ParseJsonRecord(R"({"key":"k","tombstone":true})", &record).ok());
  EXPECT_TRUE(record.values.empty());
}

TEST(JsonLinesTest, SaysWhatIsWrong) {
  EXPECT_THAT(Error("{"), HasSubstr("not valid JSON"));
  EXPECT_THAT(Error("{\"key\":\"\xff\",\"value\":\"v\"}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(Error("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(Error(R"({"value":"v"})"), HasSubstr("no \"key\""));
  EXPECT_THAT(Error(R"({"key":"k"})"), HasSubstr("no \"value\""));
  EXPECT_THAT(Error(R"({"key":"","value":"v"})"), HasSubstr("empty"));
  EXPECT_THAT(Error(R"({"key":5,"value":"v"})"), HasSubstr("not a string"));
  EXPECT_THAT(Error(R"({"key":"k","value":{"a":1}})"), HasSubstr("not a string"));
  EXPECT_THAT(Error(R"({"key":"k","key_base64":"aw==","value":"v"})"), HasSubstr("both"));
  EXPECT_THAT(Error(R"({"key":"k","value_base64":"?"})"), HasSubstr("base64"));
  EXPECT_THAT(Error(R"({"key":"k","vlaue":"v"})"), HasSubstr("unknown field \"vlaue\""));
  EXPECT_THAT(Error(R"({"key":"k","siblings":[]})"), HasSubstr("siblings"));
  EXPECT_THAT(Error(R"({"key":"k","value":"v","expires_us":-1})"), HasSubstr("expires_us"));
}

TEST(TsvTest, TakesBytesAsTheyAre) {
  Record record;
  ASSERT_TRUE(ParseTsvRecord("k\tv\\n \xff\r", &record).ok());
  EXPECT_EQ(record.key, "k");
  EXPECT_EQ(record.values[0].bytes, "v\\n \xff");
  ASSERT_TRUE(ParseTsvRecord("k\t", &record).ok());
  EXPECT_EQ(record.values[0].bytes, "");
  EXPECT_FALSE(ParseTsvRecord("no tab", &record).ok());
  EXPECT_FALSE(ParseTsvRecord("\tv", &record).ok());
  EXPECT_FALSE(ParseTsvRecord("k\tv\ts", &record).ok());
}

TEST(RecordReaderTest, NamesTheLineAndGoesOn) {
  const std::string path = WriteFile(
      "lines.jsonl",
      "\xef\xbb\xbf{\"key\":\"a\",\"value\":\"1\"}\n\nbroken\n{\"key\":\"b\",\"value\":\"2\"}");
  auto reader = RecordReader::Open(path, FileFormat::kJsonLines);
  ASSERT_TRUE(reader.ok());
  EXPECT_TRUE((*reader)->can_rewind());
  for (int round = 0; round < 2; ++round) {
    Record record;
    ASSERT_TRUE(*(*reader)->Next(&record));
    EXPECT_EQ(record.key, "a");
    EXPECT_EQ(record.line, 1u);
    const auto bad = (*reader)->Next(&record);
    ASSERT_FALSE(bad.ok());
    EXPECT_THAT(std::string(bad.status().message()), HasSubstr("line 3"));
    ASSERT_TRUE(*(*reader)->Next(&record));
    EXPECT_EQ(record.line, 4u);  // Without a newline at its end.
    EXPECT_FALSE(*(*reader)->Next(&record));
    EXPECT_EQ((*reader)->bytes_read(), (*reader)->bytes_total());
    ASSERT_TRUE((*reader)->Rewind().ok());
  }
}

TEST(RecordReaderTest, RefusesWhatIsNoFile) {
  EXPECT_FALSE(RecordReader::Open(testing::TempDir() + "missing", FileFormat::kTsv).ok());
  EXPECT_FALSE(RecordReader::Open(testing::TempDir(), FileFormat::kTsv).ok());
  EXPECT_EQ(*FormatOf("", "a.TSV"), FileFormat::kTsv);
  EXPECT_EQ(*FormatOf("", "-"), FileFormat::kJsonLines);
  EXPECT_EQ(*FormatOf("jsonl", "a.tsv"), FileFormat::kJsonLines);
  EXPECT_FALSE(FormatOf("csv", "a").ok());
}

TEST(ExportTest, LinesCanBeImported) {
  kv::v1::ScanItem item;
  item.set_key("\xff");
  item.set_sort_key("s");
  item.add_siblings()->set_value("a");
  item.mutable_siblings(0)->set_expires_us(9);
  EXPECT_EQ(ToJson(item, true, false).dump(),
            R"({"key_base64":"/w==","sort_key":"s","value":"a","expires_us":9})");
  item.add_siblings()->set_value("b");
  item.set_context("c");
  for (const bool details : {false, true}) {
    Record record;
    ASSERT_TRUE(ParseJsonRecord(ToJson(item, true, details).dump(), &record).ok());
    EXPECT_EQ(record.key, "\xff");
    ASSERT_EQ(record.values.size(), 2u);
    EXPECT_EQ(record.values[1].bytes, "b");
  }
  EXPECT_EQ(ToJson(item, false, false).dump(), R"({"key_base64":"/w==","sort_key":"s"})");
}

}  // namespace
}  // namespace annulus::cli
