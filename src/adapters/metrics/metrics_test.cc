#include "adapters/metrics/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

namespace annulus {
namespace {

using testing::HasSubstr;

TEST(Metrics, RendersEveryKind) {
  MetricRegistry registry;
  registry.Counter("annulus_things_total", "Things", {{"op", "put"}})->Add(3);
  registry.Counter("annulus_things_total", "Things", {{"op", "get"}})->Add();
  registry.Gauge("annulus_level", "Level")->Set(2.5);
  MetricHistogram* latency = registry.Histogram("annulus_latency_seconds", "Latency");
  latency->Observe(10us);
  latency->Observe(50us);
  latency->Observe(700ms);
  latency->Observe(1h);
  const std::string page = registry.Render();
  EXPECT_THAT(page, HasSubstr("# TYPE annulus_things_total counter"));
  EXPECT_THAT(page, HasSubstr("annulus_things_total{op=\"put\"} 3"));
  EXPECT_THAT(page, HasSubstr("annulus_things_total{op=\"get\"} 1"));
  EXPECT_THAT(page, HasSubstr("annulus_level 2.5"));
  EXPECT_THAT(page, HasSubstr("annulus_latency_seconds_bucket{le=\"5e-05\"} 2"));
  EXPECT_THAT(page, HasSubstr("annulus_latency_seconds_bucket{le=\"1\"} 3"));
  EXPECT_THAT(page, HasSubstr("annulus_latency_seconds_bucket{le=\"+Inf\"} 4"));
  EXPECT_THAT(page, HasSubstr("annulus_latency_seconds_count 4"));
}

TEST(Metrics, OneThreadWritesWhileAnotherReads) {
  MetricRegistry registry;
  MetricCounter* counter = registry.Counter("annulus_n_total", "N");
  MetricHistogram* histogram = registry.Histogram("annulus_n_seconds", "N");
  std::atomic<bool> done{false};
  std::thread reader([&] {
    while (!done) EXPECT_THAT(registry.Render(), HasSubstr("annulus_n_total"));
  });
  for (int i = 0; i < 20'000; ++i) {
    counter->Add();
    histogram->Observe(1ms);
    if (i % 1000 == 0) registry.Gauge("annulus_more", "More", {{"i", std::to_string(i)}})->Set(i);
  }
  done = true;
  reader.join();
  EXPECT_EQ(counter->value(), 20'000u);
}

}  // namespace
}  // namespace annulus
