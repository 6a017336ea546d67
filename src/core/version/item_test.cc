#include "core/version/item.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace annulus {
namespace {

using testing::HasSubstr;

TEST(Item, BucketNames) {
  for (const Bytes& good :
       {Bytes("a"), Bytes("0"), Bytes("default"), Bytes("a.b_c-9"), Bytes(63, 'a')}) {
    EXPECT_TRUE(ValidateBucket(good).ok()) << good;
  }
  for (const Bytes& bad :
       {Bytes(""), Bytes("A"), Bytes("-a"), Bytes(".a"), Bytes("_a"), Bytes("a b"), Bytes("a/b"),
        Bytes("\xc3\xa4"), Bytes("a\0b", 3), Bytes(64, 'a')}) {
    EXPECT_EQ(ValidateBucket(bad).code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST(Item, LimitsAreInclusiveAndNamedInTheError) {
  const Limits limits;
  auto validate = [&](size_t key, size_t sort_key) {
    return ValidateItem(Item{"default", Bytes(key, 'k'), Bytes(sort_key, 's')}, limits);
  };
  EXPECT_TRUE(validate(1, 0).ok());
  EXPECT_TRUE(validate(4096, 1024).ok());
  EXPECT_THAT(std::string(validate(0, 0).message()), HasSubstr("empty"));
  EXPECT_THAT(std::string(validate(4097, 0).message()), HasSubstr("4096"));
  EXPECT_THAT(std::string(validate(1, 1025).message()), HasSubstr("1024"));
  for (const auto& [key, sort_key] : {std::pair<size_t, size_t>{0, 0}, {4097, 0}, {1, 1025}}) {
    EXPECT_EQ(validate(key, sort_key).code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(ValidateItem(Item{"", "k", ""}, limits).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace annulus
