#include "core/version/token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "absl/strings/escaping.h"

namespace annulus {
namespace {

using testing::HasSubstr;

class TokenTest : public testing::Test {
 protected:
  TokenTest() {
    vector_.Add({ActorId(1), 1});
    vector_.Add({ActorId(2), 7});
  }

  void ExpectRefused(const absl::Status& status) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("unchanged"));
  }

  const Bytes old_secret_ = "the old secret of the cluster";
  const Bytes new_secret_ = "the new secret of the cluster";
  const TokenKeys keys_ = *TokenKeys::Create({old_secret_});
  const Item item_{"bucket", "key", "sort"};
  VersionVector vector_;
};

TEST_F(TokenTest, NeedsASecret) {
  EXPECT_EQ(TokenKeys::Create({}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(TokenKeys::Create({old_secret_, "short"}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(TokenTest, AContextComesBack) {
  EXPECT_EQ(*keys_.OpenContext(item_, keys_.SealContext(item_, vector_)), vector_);
}

// Put together by hand (Python's hmac), so that nodes of two versions take each other's.
TEST_F(TokenTest, AContextIsTheSameInEveryVersion) {
  EXPECT_EQ(absl::BytesToHexString(keys_.SealContext(item_, vector_)),
            "0201000000000000000100020000000000000000010500"
            "1f6517585894645890c3c5b40bebab44");
}

TEST_F(TokenTest, TheEmptyVectorIsTheEmptyToken) {
  EXPECT_EQ(keys_.SealContext(item_, {}), "");
  EXPECT_TRUE(keys_.OpenContext(item_, "")->empty());
  EXPECT_EQ(keys_.SealPosition("b", "k", ""), "");
  EXPECT_EQ(*keys_.OpenPosition("b", "k", ""), "");
}

TEST_F(TokenTest, AContextIsOfOneItem) {
  const Bytes token = keys_.SealContext(item_, vector_);
  for (const Item& other : {Item{"bucke", "tkey", "sort"}, Item{"bucket", "keys", "ort"},
                            Item{"bucket", "key", ""}, Item{"bucket", "", "keysort"}}) {
    ExpectRefused(keys_.OpenContext(other, token).status());
  }
}

TEST_F(TokenTest, ATokenOfAnotherKindIsRefused) {
  const Bytes context = keys_.SealContext({"b", "k", ""}, vector_);
  ExpectRefused(keys_.OpenPosition("b", "k", context).status());
  ExpectRefused(keys_.OpenContext({"b", "k", ""}, keys_.SealPosition("b", "k", "x")).status());
}

TEST_F(TokenTest, EveryCutAndEveryFlippedBitIsRefused) {
  const Bytes token = keys_.SealContext(item_, vector_);
  for (size_t i = 0; i < token.size(); ++i) {
    if (i > 0) ExpectRefused(keys_.OpenContext(item_, token.substr(0, i)).status());
    for (int bit = 0; bit < 8; ++bit) {
      Bytes forged = token;
      forged[i] ^= static_cast<char>(1 << bit);
      ExpectRefused(keys_.OpenContext(item_, forged).status());
    }
  }
  ExpectRefused(keys_.OpenContext(item_, token + "x").status());
}

TEST_F(TokenTest, ASecretIsRotatedWithoutRefusingTokens) {
  const TokenKeys accepts_new = *TokenKeys::Create({old_secret_, new_secret_});
  const TokenKeys signs_new = *TokenKeys::Create({new_secret_, old_secret_});
  const TokenKeys only_new = *TokenKeys::Create({new_secret_});
  const Bytes old_token = keys_.SealContext(item_, vector_);
  const Bytes new_token = signs_new.SealContext(item_, vector_);
  EXPECT_EQ(accepts_new.SealContext(item_, vector_), old_token);
  EXPECT_TRUE(accepts_new.OpenContext(item_, new_token).ok());
  EXPECT_TRUE(signs_new.OpenContext(item_, old_token).ok());
  EXPECT_TRUE(only_new.OpenContext(item_, new_token).ok());
  ExpectRefused(only_new.OpenContext(item_, old_token).status());
  ExpectRefused(keys_.OpenContext(item_, new_token).status());
}

TEST_F(TokenTest, APositionIsOfOneScan) {
  const Bytes position(
      "\x00\x07"
      "b\x00",
      4);
  const Bytes token = keys_.SealPosition("b", "k", position);
  EXPECT_EQ(*keys_.OpenPosition("b", "k", token), position);
  ExpectRefused(keys_.OpenPosition("b", "", token).status());
  ExpectRefused(keys_.OpenPosition("c", "k", token).status());
  ExpectRefused(keys_.OpenPosition("b", "k", token.substr(1)).status());
}

}  // namespace
}  // namespace annulus
