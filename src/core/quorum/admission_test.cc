#include "core/quorum/admission.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/quorum/retry_budget.h"

namespace annulus {
namespace {

TEST(Admission, RefusesBeyondItsOperationsAndSaysWhenToTryAgain) {
  Admission admission({.operations_max = 2, .bytes_max = 1000, .retry_after = 70ms});
  EXPECT_TRUE(admission.Enter(1).ok());
  EXPECT_TRUE(admission.Enter(1).ok());
  const absl::Status refused = admission.Enter(1);
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  EXPECT_EQ(DetailsOf(refused).reason, "OVERLOADED");
  EXPECT_EQ(DetailsOf(refused).retry_after, 70ms);
  EXPECT_EQ(admission.refused(), 1u);
  admission.Leave(1);
  EXPECT_TRUE(admission.Enter(1).ok());
}

TEST(Admission, RefusesBeyondItsBytesButNeverOneAlone) {
  Admission admission({.operations_max = 100, .bytes_max = 1000});
  {
    AdmissionPlace large(&admission, 5000);
    EXPECT_TRUE(large.status().ok());
    AdmissionPlace small(&admission, 1);
    EXPECT_FALSE(small.status().ok());
  }
  EXPECT_EQ(admission.operations(), 0u);
  EXPECT_EQ(admission.bytes(), 0u);
  AdmissionPlace first(&admission, 600);
  AdmissionPlace second(&admission, 400);
  AdmissionPlace third(&admission, 1);
  EXPECT_TRUE(first.status().ok() && second.status().ok());
  EXPECT_FALSE(third.status().ok());
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
