#include "sim/cluster.h"

#include "gtest/gtest.h"

namespace annulus::sim {
namespace {

TEST(Cluster, FormsAndServes) {
  World world(1);
  Cluster cluster(&world, {.nodes = 5, .coordinators = 1});
  ASSERT_TRUE(cluster.WaitReady());
  Client client(&cluster, 6);
  absl::StatusOr<WriteAnswer> put = client.Put("k", "v");
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_EQ(client.Values("k"), "v");
}

}  // namespace
}  // namespace annulus::sim
