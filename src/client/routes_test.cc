#include "client/routes.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace annulus {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Members with the ids 10, 11, ...; partition p belongs to member p, then to the next one.
admin::v1::LayoutResponse LayoutOf(int members, int partitions) {
  admin::v1::LayoutResponse layout;
  for (int i = 0; i < members; ++i) layout.add_members()->set_node_id(10 + i);
  for (int p = 0; p < partitions; ++p) {
    auto* owners = layout.add_partitions();
    owners->add_owners(p % members);
    owners->add_owners((p + 1) % members);
  }
  return layout;
}

TEST(RoutesTest, LeadToTheOwnersThatHaveALaneTheFirstOneFirst) {
  const Routes routes(LayoutOf(4, 4), {{10, 0}, {11, 1}, {13, 2}});
  EXPECT_THAT(routes.LanesOf(0), ElementsAre(0, 1));
  EXPECT_THAT(routes.LanesOf(1), ElementsAre(1));  // Member 12 has no lane.
  EXPECT_THAT(routes.LanesOf(3), ElementsAre(2, 0));
}

TEST(RoutesTest, KnowNothingWithoutALayout) {
  const Routes routes(admin::v1::LayoutResponse(), {{10, 0}});
  EXPECT_TRUE(routes.empty());
  EXPECT_EQ(routes.PartitionOf("b", "k"), -1);
}

// Of a server that is newer or broken.
TEST(RoutesTest, RefuseALayoutThatTheyDoNotUnderstand) {
  EXPECT_TRUE(Routes(LayoutOf(3, 5), {{10, 0}}).empty());
  admin::v1::LayoutResponse layout = LayoutOf(2, 2);
  layout.mutable_partitions(0)->add_owners(77);
  EXPECT_THAT(Routes(layout, {{10, 0}}).LanesOf(0), ElementsAre(0));
  EXPECT_THAT(Routes(layout, {}).LanesOf(0), IsEmpty());
}

TEST(RoutesTest, AllOperationsOnOneItemGoToOnePartition) {
  const Routes routes(LayoutOf(4, 256), {});
  for (int i = 0; i < 100; ++i) {
    const std::string key = absl::StrCat("k", i);
    kv::v1::Operation put, get, del;
    put.mutable_put()->set_key(key);
    get.mutable_get()->set_key(key);
    get.mutable_get()->set_bucket("default");  // The same as none.
    del.mutable_delete_()->set_key(key);
    const int32_t partition = routes.PartitionOf(put);
    EXPECT_GE(partition, 0);
    EXPECT_LT(partition, 256);
    EXPECT_EQ(routes.PartitionOf(get), partition);
    EXPECT_EQ(routes.PartitionOf(del), partition);
    EXPECT_EQ(routes.PartitionOf("default", key), partition);
  }
}

}  // namespace
}  // namespace annulus
