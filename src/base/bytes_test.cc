#include "base/bytes.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <limits>
#include <vector>

#include "base/checksum.h"

namespace annulus {
namespace {

using namespace std::string_literals;

RC_GTEST_PROP(Bytes, EverythingComesBack,
              (uint64_t a, uint16_t b, uint64_t c, Bytes d, Bytes e, uint64_t f)) {
  // Small and large numbers alike: an arbitrary 64 bit number is nearly always large.
  c >>= *rc::gen::inRange(0, 64);
  Bytes bytes;
  PutFixed64(&bytes, a);
  PutBigEndian16(&bytes, b);
  const size_t before = bytes.size();
  PutVarint(&bytes, c);
  RC_ASSERT(bytes.size() - before == VarintSize(c));
  PutSized(&bytes, d);
  PutOrdered(&bytes, e);
  PutBigEndian64(&bytes, f);
  bytes += "rest";

  ByteReader reader(bytes);
  uint64_t a2, c2, f2;
  uint16_t b2;
  BytesView d2;
  Bytes e2;
  RC_ASSERT(reader.Fixed64(&a2) && reader.BigEndian16(&b2) && reader.Varint(&c2));
  RC_ASSERT(reader.Sized(&d2) && reader.Ordered(&e2) && reader.BigEndian64(&f2));
  RC_ASSERT(a2 == a && b2 == b && c2 == c && d2 == d && e2 == e && f2 == f);
  RC_ASSERT(reader.ok() && !reader.done() && reader.rest() == "rest");
}

RC_GTEST_PROP(Bytes, OrderedKeepsTheOrder, ()) {
  // Few letters, so that prefixes and equal strings are common.
  const auto text = rc::gen::container<Bytes>(rc::gen::element('\0', '\x01', 'a', '\xff'));
  const Bytes a = *text, b = *text, c = *text, d = *text;
  Bytes ab, cd;
  PutOrdered(&ab, a);
  PutOrdered(&ab, b);
  PutOrdered(&cd, c);
  PutOrdered(&cd, d);
  RC_ASSERT((ab < cd) == (std::pair(a, b) < std::pair(c, d)));
}

TEST(Bytes, VarintRefusesWhatNobodyWrites) {
  uint64_t value;
  for (const Bytes& bytes : {""s, "\x80"s, "\x80\x00"s, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"s,
                             "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s}) {
    ByteReader reader(bytes);
    EXPECT_FALSE(reader.Varint(&value));
  }
  Bytes most;
  PutVarint(&most, std::numeric_limits<uint64_t>::max());
  ByteReader reader(most);
  ASSERT_TRUE(reader.Varint(&value));
  EXPECT_EQ(value, std::numeric_limits<uint64_t>::max());
}

TEST(Bytes, AFailedReaderStaysFailed) {
  ByteReader reader(
      "\x05"
      "abc");
  BytesView value;
  EXPECT_FALSE(reader.Sized(&value));
  uint8_t byte;
  EXPECT_FALSE(reader.Byte(&byte));
  EXPECT_FALSE(reader.ok());
  EXPECT_FALSE(reader.done());
}

TEST(Bytes, AHugeLengthIsNotBelieved) {
  Bytes bytes;
  PutVarint(&bytes, std::numeric_limits<uint64_t>::max());
  ByteReader reader(bytes);
  BytesView value;
  EXPECT_FALSE(reader.Sized(&value));
}

TEST(Checksum, TakesWhatItAppendedAndNothingElse) {
  Bytes bytes = "a record";
  AppendChecksum(&bytes);
  EXPECT_EQ(TakeChecksum(bytes), "a record");
  for (size_t i = 0; i < bytes.size(); ++i) {
    EXPECT_FALSE(TakeChecksum(bytes.substr(0, i)).has_value());
    Bytes altered = bytes;
    altered[i] ^= 1;
    EXPECT_FALSE(TakeChecksum(altered).has_value());
  }
}

// Data on disks and positions on rings depend on it.
TEST(Checksum, IsXxh3WithSeedZero) {
  EXPECT_EQ(Hash64(""), 0x2d06800538d394c2u);
  EXPECT_EQ(Hash64("annulus"), 0x5c21f1993188a84du);
}

}  // namespace
}  // namespace annulus
