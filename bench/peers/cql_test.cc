#include "cql.h"

#include "gtest/gtest.h"

namespace annulus::peers::cql {
namespace {

using namespace std::string_literals;

// What a node says, as bytes on the wire: its header, then the body.
Bytes Said(uint8_t flags, uint16_t stream, uint8_t opcode, const Bytes& body) {
  Bytes out = {'\x84', static_cast<char>(flags)};
  PutBigEndian16(&out, stream);
  out += static_cast<char>(opcode);
  PutBigEndian16(&out, 0);
  PutBigEndian16(&out, static_cast<uint16_t>(body.size()));
  return out + body;
}

absl::StatusOr<Answer> DecodeFirst(const Bytes& input) {
  const absl::StatusOr<std::optional<Frame>> frame = FirstFrame(input);
  if (!frame.ok()) return frame.status();
  if (!frame->has_value()) return absl::OutOfRangeError("not whole");
  return Decode(**frame);
}

constexpr uint8_t kError = 0x00, kReady = 0x02, kResult = 0x08;

TEST(CqlTest, RequestsAreAsTheProtocolHasThem) {
  Bytes out;
  PutStartup(&out, 1);
  EXPECT_EQ(out,
            "\x04\x00\x00\x01\x01\x00\x00\x00\x16"
            "\x00\x01\x00\x0b"
            "CQL_VERSION\x00\x05"
            "3.0.0"s);
  out.clear();
  PutPrepare(&out, 0x102, "abc");
  EXPECT_EQ(out,
            "\x04\x00\x01\x02\x09\x00\x00\x00\x07\x00\x00\x00\x03"
            "abc"s);
  out.clear();
  PutExecute(&out, 3, "id", {"key", ""});
  EXPECT_EQ(out,
            "\x04\x00\x00\x03\x0a\x00\x00\x00\x14"
            "\x00\x02id"
            "\x00\x04\x03\x00\x02"
            "\x00\x00\x00\x03key"
            "\x00\x00\x00\x00"s);
}

TEST(CqlTest, FramesAreTakenOneByOneAndOnlyWhole) {
  const Bytes first = Said(0, 7, kResult, "\0\0\0\1"s), second = Said(0, 8, kReady, "");
  const Bytes both = first + second;
  for (size_t size = 0; size < first.size(); ++size) {
    const auto frame = FirstFrame(BytesView(both).substr(0, size));
    ASSERT_TRUE(frame.ok());
    EXPECT_FALSE(frame->has_value()) << size;
  }
  const auto frame = FirstFrame(both);
  ASSERT_TRUE(frame.ok() && frame->has_value());
  EXPECT_EQ((*frame)->stream, 7);
  EXPECT_EQ((*frame)->bytes(), first.size());
  const auto next = FirstFrame(BytesView(both).substr(first.size()));
  ASSERT_TRUE(next.ok() && next->has_value());
  EXPECT_EQ((*next)->stream, 8);
  EXPECT_TRUE(Decode(**next).ok());
}

TEST(CqlTest, WhatIsNoAnswerOrTooLongIsRefused) {
  EXPECT_FALSE(FirstFrame("\x85\0\0\1\2\0\0\0\0"s).ok());    // Of version 5.
  EXPECT_FALSE(FirstFrame("\x84\0\0\1\2\x7f\0\0\0"s).ok());  // 2 GB.
}

TEST(CqlTest, ResultsSayRowsAndPreparedQueries) {
  const auto rows = DecodeFirst(Said(0, 1, kResult, "\0\0\0\2\0\0\0\4\0\0\0\1\0\0\0\1\0\0\0\1v"s));
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(rows->rows, 1u);
  const auto prepared = DecodeFirst(Said(0, 1, kResult, "\0\0\0\4\0\3abc and more"s));
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(prepared->prepared_id, "abc");
}

TEST(CqlTest, WarningsStandBeforeTheRest) {
  const auto prepared = DecodeFirst(Said(8, 1, kResult, "\0\2\0\3one\0\3two\0\0\0\4\0\2id"s));
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(prepared->prepared_id, "id");
}

TEST(CqlTest, ErrorsHaveTheNodesWords) {
  const auto late = DecodeFirst(Said(0, 1, kError, "\0\0\x11\0\0\4late\0\4"s));
  EXPECT_TRUE(absl::IsDeadlineExceeded(late.status()));
  EXPECT_EQ(late.status().message(), "Cassandra: late");
  EXPECT_TRUE(
      absl::IsResourceExhausted(DecodeFirst(Said(0, 1, kError, "\0\0\x10\1\0\0"s)).status()));
}

TEST(CqlTest, MalformedBodiesAreErrors) {
  for (const Bytes& body : {"\0\0"s, "\0\0\0\2\0\0\0\4\0\0"s, "\0\0\0\4\0\x10short"s}) {
    EXPECT_TRUE(absl::IsDataLoss(DecodeFirst(Said(0, 1, kResult, body)).status()));
  }
  EXPECT_TRUE(absl::IsDataLoss(DecodeFirst(Said(8, 1, kResult, "\xff\xff\0\1"s)).status()));
  EXPECT_TRUE(absl::IsDataLoss(DecodeFirst(Said(1, 1, kReady, "")).status()));  // Compressed.
}

}  // namespace
}  // namespace annulus::peers::cql
