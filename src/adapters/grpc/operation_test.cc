#include "adapters/grpc/operation.h"

#include <gtest/gtest.h>

#include <string>

namespace annulus {
namespace {

// What keeps a pipeline's responses below the size that clients take is a sum of these.
void ExpectSizeOfMessage(const OperationAnswer& answer) {
  kv::v1::OperationResult result;
  Fill(answer, &result);
  EXPECT_GE(SizeOf(answer), result.ByteSizeLong());
  EXPECT_LE(SizeOf(answer), 2 * result.ByteSizeLong() + 256);
}

Explanation LongStory() {
  Explanation story{.coordinator = "node-1"};
  for (int i = 0; i < 8; ++i) {
    story.hops.push_back({.name = "node-2", .answer = std::string(1000, 'x')});
  }
  return story;
}

TEST(Operation, TheSizeOfAnAnswerIsThatOfItsMessage) {
  ExpectSizeOfMessage(
      {PublicOp::kPut, WriteAnswer{.context = std::string(60, 'c'), .siblings = 3}});
  ExpectSizeOfMessage({PublicOp::kDelete, WriteAnswer{.explanation = LongStory()}});
  ExpectSizeOfMessage({PublicOp::kGet, GetAnswer{.siblings = {{.value = "a"}, {.value = "b"}},
                                                 .context = std::string(60, 'c')}});
  ExpectSizeOfMessage({PublicOp::kGet, GetAnswer{.explanation = LongStory()}});
  ExpectSizeOfMessage({PublicOp::kGet, absl::UnavailableError(std::string(300, 'e'))});
}

}  // namespace
}  // namespace annulus
