#include "cli/encoding.h"

#include "gtest/gtest.h"

namespace annulus::cli {
namespace {

TEST(EncodingTest, TellsUtf8FromOtherBytes) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("plain"));
  EXPECT_TRUE(IsUtf8("gr\xc3\xbc\xc3\x9f"));
  EXPECT_TRUE(IsUtf8("\xf0\x9f\x8c\x8d"));
  EXPECT_FALSE(IsUtf8("\xff"));
  EXPECT_FALSE(IsUtf8("\xc3"));              // Cut.
  EXPECT_FALSE(IsUtf8("\xc0\xaf"));          // Overlong.
  EXPECT_FALSE(IsUtf8("\xed\xa0\x80"));      // A surrogate.
  EXPECT_FALSE(IsUtf8("\xf4\x90\x80\x80"));  // Beyond U+10ffff.
}

TEST(EncodingTest, NeverSendsControlCharactersToATerminal) {
  EXPECT_EQ(Printable("a\tb\nc\x1b[31m\\"), "a\\tb\\nc\\x1b[31m\\\\");
  EXPECT_EQ(Printable("\xc2\x9b"), "\\xc2\\x9b");
  EXPECT_EQ(Printable("gr\xc3\xbc\xff"), "gr\xc3\xbc\\xff");
  EXPECT_EQ(PrintableShort("abcdef", 3), "abc... (6 B)");
  EXPECT_EQ(PrintableShort("ab\xc3\xbc", 3), "ab... (4 B)");  // Not inside a character.
}

TEST(EncodingTest, HexAndBase64SayWhatIsWrong) {
  const std::string bytes("\x00\xff\x10", 3);
  EXPECT_EQ(Hex(bytes), "00ff10");
  EXPECT_EQ(*FromHex("00Ff10", 3, "x"), bytes);
  EXPECT_FALSE(FromHex("00ff1", 3, "x").ok());
  EXPECT_FALSE(FromHex("00ff1g", 3, "x").ok());
  EXPECT_EQ(*FromBase64(Base64(bytes), "x"), bytes);
  const auto wrong = FromBase64("???", "--context");
  ASSERT_FALSE(wrong.ok());
  EXPECT_NE(wrong.status().message().find("--context"), std::string::npos);
}

TEST(EncodingTest, ForPeople) {
  EXPECT_EQ(Grouped(0), "0");
  EXPECT_EQ(Grouped(999), "999");
  EXPECT_EQ(Grouped(1234567), "1,234,567");
  EXPECT_EQ(HumanBytes(1023), "1023 B");
  EXPECT_EQ(HumanBytes(1536), "1.5 KiB");
  EXPECT_EQ(UtcTime(0), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(UtcTime(1'714'564'800'000'001), "2024-05-01T12:00:00.000001Z");
  EXPECT_EQ(UtcTime(-1), "1969-12-31T23:59:59.999999Z");
}

}  // namespace
}  // namespace annulus::cli
