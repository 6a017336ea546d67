#include "base/keyed_tag.h"

#include <gtest/gtest.h>

#include "absl/strings/escaping.h"

namespace annulus {
namespace {

TEST(KeyedTag, RefusesAShortSecret) {
  EXPECT_EQ(KeyedTag::Create("fifteen bytes..").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(KeyedTag::Create("sixteen bytes...").ok());
}

// RFC 4231, test case 1.
TEST(KeyedTag, IsHmacSha256CutTo128Bits) {
  const auto tag = KeyedTag::Create(Bytes(20, '\x0b'))->Of("Hi There");
  EXPECT_EQ(absl::BytesToHexString(Bytes(tag.data(), tag.size())),
            "b0344c61d8db38535ca8afceaf0bf12b");
}

TEST(KeyedTag, MatchesItsOwnMessageUnderItsOwnSecret) {
  const KeyedTag key = *KeyedTag::Create("one secret of ours");
  const KeyedTag other = *KeyedTag::Create("another such secret");
  const auto tag = key.Of("message");
  const BytesView bytes(tag.data(), tag.size());
  EXPECT_TRUE(key.Matches("message", bytes));
  EXPECT_FALSE(key.Matches("massage", bytes));
  EXPECT_FALSE(other.Matches("message", bytes));
  EXPECT_FALSE(key.Matches("message", bytes.substr(1)));
  EXPECT_FALSE(key.Matches("message", ""));
}

}  // namespace
}  // namespace annulus
