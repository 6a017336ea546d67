#include "sim/cost.h"

#include "gtest/gtest.h"

namespace annulus::sim {
namespace {

// Two copies beside the minter's: two questions, two answers. A get asks one owner beside itself.
TEST(CostTest, ASmartClientsOperationsCostTheSameInAnyCluster) {
  const ClusterCost small = MeasureCost(3, /*smart=*/true, 200, 1);
  EXPECT_NEAR(small.put.messages, 4, 0.1);
  EXPECT_NEAR(small.get.messages, 2, 0.1);
  const ClusterCost large = MeasureCost(16, /*smart=*/true, 200, 1);
  EXPECT_NEAR(large.put.messages, small.put.messages, 0.1 * small.put.messages);
  EXPECT_NEAR(large.put.bytes, small.put.bytes, 0.1 * small.put.bytes);
  EXPECT_NEAR(large.get.messages, small.get.messages, 0.1 * small.get.messages);
  EXPECT_NEAR(large.get.bytes, small.get.bytes, 0.1 * small.get.bytes);
}

TEST(CostTest, OthersPayForTheForward) {
  const ClusterCost cost = MeasureCost(16, /*smart=*/false, 200, 1);
  EXPECT_GT(cost.put.messages, 5);
}

}  // namespace
}  // namespace annulus::sim
