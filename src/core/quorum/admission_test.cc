#include "core/quorum/admission.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/quorum/retry_budget.h"

namespace annulus {
namespace {

using Work = Admission::Work;

const Instant kStart{};

TEST(Admission, RefusesBeyondItsOperationsAndSaysWhenToTryAgain) {
  Admission admission({.operations_max = 2, .bytes_max = 1000, .retry_after = 70ms});
  EXPECT_TRUE(admission.Enter(Work::kWrite, 1, kStart).ok());
  EXPECT_TRUE(admission.Enter(Work::kWrite, 1, kStart).ok());
  const absl::Status refused = admission.Enter(Work::kWrite, 1, kStart);
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  EXPECT_EQ(DetailsOf(refused).reason, "OVERLOADED");
  EXPECT_EQ(DetailsOf(refused).retry_after, 70ms);
  EXPECT_EQ(admission.refused(), 1u);
  admission.Leave(Work::kWrite, 1);
  EXPECT_TRUE(admission.Enter(Work::kWrite, 1, kStart).ok());
}

TEST(Admission, RefusesBeyondItsBytesButNeverOneAlone) {
  Admission admission({.operations_max = 100, .bytes_max = 1000});
  {
    AdmissionPlace large(&admission, Work::kRead, 5000, kStart);
    EXPECT_TRUE(large.status().ok());
    AdmissionPlace small(&admission, Work::kRead, 1, kStart);
    EXPECT_FALSE(small.status().ok());
  }
  EXPECT_EQ(admission.operations(), 0u);
  EXPECT_EQ(admission.bytes(), 0u);
  AdmissionPlace first(&admission, Work::kRead, 600, kStart);
  AdmissionPlace second(&admission, Work::kRead, 400, kStart);
  AdmissionPlace third(&admission, Work::kRead, 1, kStart);
  EXPECT_TRUE(first.status().ok() && second.status().ok());
  EXPECT_FALSE(third.status().ok());
}

TEST(Admission, ReadsAndWritesHaveRoomOfTheirOwnAndForwardedWritesMoreOfIt) {
  Admission admission({.limit = {.least = 4, .at_first = 4}});
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(admission.Enter(Work::kWrite, 1, kStart).ok());
  EXPECT_FALSE(admission.Enter(Work::kWrite, 1, kStart).ok());
  EXPECT_TRUE(admission.Enter(Work::kForwarded, 1, kStart).ok());
  EXPECT_FALSE(admission.Enter(Work::kForwarded, 1, kStart).ok());
  EXPECT_TRUE(admission.Enter(Work::kRead, 1, kStart).ok());
}

TEST(Admission, IsStrainedForASecondAfterARefusal) {
  Admission admission({.operations_max = 1});
  EXPECT_TRUE(admission.Enter(Work::kRead, 1, kStart).ok());
  EXPECT_FALSE(admission.Strained(kStart));
  EXPECT_FALSE(admission.Enter(Work::kRead, 1, kStart).ok());
  EXPECT_TRUE(admission.Strained(kStart + 1s));
  EXPECT_FALSE(admission.Strained(kStart + 1001ms));
}

TEST(Admission, LearnsWhatAReadBrings) {
  Admission admission({});
  const size_t least = admission.ReadBytes();
  admission.LearnReadBytes(1 << 20);
  EXPECT_EQ(admission.ReadBytes(), size_t{1} << 20);
  admission.LearnReadBytes(0);
  EXPECT_GT(admission.ReadBytes(), size_t{900} << 10);
  for (int i = 0; i < 1000; ++i) admission.LearnReadBytes(0);
  EXPECT_EQ(admission.ReadBytes(), least);
}

TEST(RetryBudget, SuccessesPayForRepeats) {
  RetryBudget budget;
  int repeats = 0;
  while (budget.Take()) ++repeats;
  EXPECT_EQ(repeats, RetryBudget::kTokensMax);
  for (int i = 0; i < 9; ++i) budget.Succeeded();
  EXPECT_FALSE(budget.Take());
  budget.Succeeded();
  EXPECT_TRUE(budget.Take());
  EXPECT_FALSE(budget.Take());
}

}  // namespace
}  // namespace annulus
