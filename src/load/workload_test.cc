#include "load/workload.h"

#include <map>

#include "gtest/gtest.h"

namespace annulus::load {
namespace {

constexpr int kDraws = 100'000;

TEST(WorkloadTest, KeepsTheShares) {
  Workload workload({.read = 6, .update = 3, .insert = 0, .scan = 0, .modify = 1}, Choice::kUniform,
                    100, 1);
  std::map<Kind, int> counts;
  for (int i = 0; i < kDraws; ++i) ++counts[workload.Next().kind];
  EXPECT_NEAR(counts[Kind::kRead], 0.6 * kDraws, 0.01 * kDraws);
  EXPECT_NEAR(counts[Kind::kUpdate], 0.3 * kDraws, 0.01 * kDraws);
  EXPECT_NEAR(counts[Kind::kModify], 0.1 * kDraws, 0.01 * kDraws);
  EXPECT_EQ(counts.size(), 3u);
}

TEST(WorkloadTest, UniformKeysAreAllMet) {
  Workload workload({}, Choice::kUniform, 100, 1);
  std::map<uint64_t, int> counts;
  for (int i = 0; i < kDraws; ++i) ++counts[workload.Next().key];
  ASSERT_EQ(counts.size(), 100u);
  for (const auto& [key, count] : counts) EXPECT_NEAR(count, kDraws / 100, kDraws / 400);
}

TEST(WorkloadTest, AFewZipfianKeysAreMetOften) {
  constexpr uint64_t kKeys = 10'000;
  Workload workload({}, Choice::kZipfian, kKeys, 1);
  std::map<uint64_t, int> counts;
  for (int i = 0; i < kDraws; ++i) {
    const uint64_t key = workload.Next().key;
    ASSERT_LT(key, kKeys);
    ++counts[key];
  }
  int most = 0;
  for (const auto& [key, count] : counts) most = std::max(most, count);
  // 1 / (the sum of 1 / i^0.99 up to 10^4): 9.6 %.
  EXPECT_NEAR(most, 0.096 * kDraws, 0.015 * kDraws);
  EXPECT_GT(counts.size(), kKeys / 4);
}

TEST(WorkloadTest, InsertsAreNewKeysAndTheLatestAreMetMost) {
  Workload workload({.read = 0.5, .update = 0, .insert = 0.5}, Choice::kLatest, 10, 1);
  uint64_t next = 10;
  int newest = 0, reads = 0;
  for (int i = 0; i < 10'000; ++i) {
    const Workload::Step step = workload.Next();
    if (step.kind == Kind::kInsert) {
      EXPECT_EQ(step.key, next++);
    } else {
      ASSERT_LT(step.key, next);
      ++reads;
      newest += step.key == next - 1;
    }
  }
  EXPECT_GT(newest, reads / 20);
}

TEST(WorkloadTest, OneKeyIsEnough) {
  for (Choice choice : {Choice::kUniform, Choice::kZipfian, Choice::kLatest}) {
    Workload workload({}, choice, 1, 1);
    for (int i = 0; i < 1000; ++i) EXPECT_EQ(workload.Next().key, 0u);
  }
}

TEST(WorkloadTest, NamesOfYcsb) {
  for (const char* letter : {"a", "b", "c", "d", "e", "f"}) EXPECT_TRUE(YcsbNamed(letter));
  EXPECT_FALSE(YcsbNamed("g"));
}

}  // namespace
}  // namespace annulus::load
