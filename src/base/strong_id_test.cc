#include "base/strong_id.h"

#include <gtest/gtest.h>

#include <type_traits>

namespace annulus {
namespace {

static_assert(!std::is_convertible_v<NodeId, PartitionId>);
static_assert(!std::is_constructible_v<NodeId, PartitionId>);
static_assert(!std::is_convertible_v<uint64_t, NodeId>);
static_assert(sizeof(PartitionId) == 4);

TEST(StrongId, IsOrderedAndPrintedAsHex) {
  EXPECT_LT(NodeId(1), NodeId(2));
  EXPECT_EQ(NodeId(), NodeId(0));
  EXPECT_EQ(ToHex(NodeId(0xabc)), "0000000000000abc");
  EXPECT_EQ(ToHex(PartitionId(255)), "00000000000000ff");
}

}  // namespace
}  // namespace annulus
