#include "core/hint/hint.h"

#include <gtest/gtest.h>

namespace annulus {
namespace {

Hint RecordHint() {
  Hint hint{.counted = true};
  Write(&hint.stored.record, {}, Sibling{.dot = {ActorId{7}, 1}, .value = "v"});
  hint.stored.epoch = Epoch(3);
  hint.stored.note = MintNote{ActorId{7}, Incarnation{9}};
  return hint;
}

TEST(Hint, RecordsAndPointersSurviveTheirEncoding) {
  for (const Hint& hint :
       {RecordHint(), Hint{.pointer = 77}, Hint{.counted = true, .pointer = 1}}) {
    absl::StatusOr<Hint> decoded = DecodeHint(Encode(hint));
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(*decoded, hint);
  }
}

TEST(Hint, EveryAlteredByteIsDataLoss) {
  const Bytes bytes = Encode(RecordHint());
  for (size_t i = 0; i < bytes.size(); ++i) {
    Bytes altered = bytes;
    altered[i] ^= 0x10;
    EXPECT_TRUE(absl::IsDataLoss(DecodeHint(altered).status())) << i;
    EXPECT_TRUE(absl::IsDataLoss(DecodeHint(bytes.substr(0, i)).status())) << i;
  }
}

TEST(Hint, KeysLieByTargetInTheOrderOfTheDataKeys) {
  const NodeId low{5}, high{0x8000000000000000};
  const Bytes key = HintKey(low, "data");
  EXPECT_LT(key, HintKey(low, "datb"));
  EXPECT_LT(HintKey(low, "zzz"), HintsEnd(low));
  EXPECT_LT(HintsEnd(low), HintKey(high, "a"));
  EXPECT_LT(HintKey(NodeId(~uint64_t{0}), "a"), HintsEnd(NodeId(~uint64_t{0})));
  absl::StatusOr<ParsedHintKey> parsed = ParseHintKey(key);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->target, low);
  EXPECT_EQ(parsed->data_key, "data");
  EXPECT_TRUE(absl::IsDataLoss(ParseHintKey("short").status()));
}

TEST(HintLedger, LimitsTheTotalAndEachTarget) {
  const NodeId a{1}, b{2}, c{3};
  HintLedger ledger({.bytes_max = 100, .bytes_per_target_max = 60});
  EXPECT_TRUE(ledger.Admits(a, 60));
  EXPECT_FALSE(ledger.Admits(a, 61));
  ledger.Changed(a, 0, 60);
  EXPECT_FALSE(ledger.Admits(a, 1));
  EXPECT_TRUE(ledger.Admits(b, 40));
  EXPECT_FALSE(ledger.Admits(b, 41));
  ledger.Changed(b, 0, 40);
  EXPECT_FALSE(ledger.Admits(c, 1));
  ledger.Changed(a, 60, 20);
  EXPECT_TRUE(ledger.Admits(c, 40));
  ledger.Changed(a, 20, 0);
  EXPECT_EQ(ledger.AccountOf(a).entries, 0u);
  EXPECT_EQ(ledger.total().entries, 1u);
  EXPECT_EQ(ledger.total().bytes, 40u);
}

}  // namespace
}  // namespace annulus
