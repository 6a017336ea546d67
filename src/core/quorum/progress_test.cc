#include "core/quorum/progress.h"

#include <gtest/gtest.h>

namespace annulus {
namespace {

using Kind = PeerProgress::Kind;

const Instant kStart{};
const NodeId kPeer{1};

TEST(Patience, GrowsAtOnceAndFadesWithTime) {
  Patience patience(150ms);
  EXPECT_EQ(patience.At(kStart), 150ms);
  patience.Answered(5ms, kStart);
  EXPECT_EQ(patience.At(kStart), 150ms);
  patience.Answered(400ms, kStart);
  EXPECT_EQ(patience.At(kStart), 600ms);
  patience.Answered(5ms, kStart);
  EXPECT_EQ(patience.At(kStart), 600ms);
  EXPECT_EQ(patience.At(kStart + 1s), 300ms);
  EXPECT_EQ(patience.At(kStart + 1500ms), 225ms);
  EXPECT_EQ(patience.At(kStart + 5s), 150ms);
  patience.Answered(20s, kStart + 5s);
  EXPECT_EQ(patience.At(kStart + 5s), Patience::kMost);
  EXPECT_EQ(patience.At(kStart + 1h), 150ms);
}

TEST(PeerProgress, APeerThatServesReadsMayHangWithWrites) {
  PeerProgress progress(150ms);
  EXPECT_FALSE(progress.IsServing(kPeer, Kind::kRead, kStart));
  progress.Served(kPeer, Kind::kRead, 1ms, kStart);
  EXPECT_TRUE(progress.IsServing(kPeer, Kind::kRead, kStart + 149ms));
  EXPECT_FALSE(progress.IsServing(kPeer, Kind::kRead, kStart + 150ms));
  EXPECT_FALSE(progress.IsServing(kPeer, Kind::kWrite, kStart));
}

TEST(PeerProgress, OneThatIsLateServesForLonger) {
  PeerProgress progress(150ms);
  progress.Served(kPeer, Kind::kWrite, 400ms, kStart);
  EXPECT_EQ(progress.PatienceWith(kPeer, Kind::kWrite, kStart), 600ms);
  EXPECT_EQ(progress.PatienceWith(kPeer, Kind::kRead, kStart), 150ms);
  EXPECT_TRUE(progress.IsServing(kPeer, Kind::kWrite, kStart + 400ms));
}

}  // namespace
}  // namespace annulus
