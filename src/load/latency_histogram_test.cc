#include "load/latency_histogram.h"

#include <gtest/gtest.h>

namespace annulus::load {
namespace {

TEST(LatencyHistogramTest, QuantilesAreRightToThreePercent) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.Quantile(0.5), 0u);
  for (uint64_t micros = 1; micros <= 100'000; ++micros) histogram.Add(micros);
  for (const double quantile : {0.001, 0.5, 0.9, 0.99, 0.999}) {
    const double exact = quantile * 100'000;
    EXPECT_NEAR(static_cast<double>(histogram.Quantile(quantile)), exact, exact * 0.035 + 1);
  }
  EXPECT_EQ(histogram.Quantile(1), 100'000u);
  EXPECT_EQ(histogram.max(), 100'000u);
}

TEST(LatencyHistogramTest, SmallOnesAreExactAndLargeOnesHaveRoom) {
  for (uint64_t micros : {0ull, 1ull, 31ull, 32ull, 63ull}) {
    LatencyHistogram histogram;
    histogram.Add(micros);
    histogram.Add(1'000'000);
    EXPECT_EQ(histogram.Quantile(0.25), micros);
  }
  LatencyHistogram histogram;
  histogram.Add(UINT64_MAX);
  EXPECT_EQ(histogram.Quantile(0.5), UINT64_MAX);
}

TEST(LatencyHistogramTest, TwoAreAdded) {
  LatencyHistogram a, b;
  a.Add(10);
  b.Add(20);
  b.Add(5000);
  a.Add(b);
  EXPECT_EQ(a.count(), 3u);
  EXPECT_EQ(a.Quantile(0.5), 20u);
  EXPECT_EQ(a.max(), 5000u);
}

}  // namespace
}  // namespace annulus::load
