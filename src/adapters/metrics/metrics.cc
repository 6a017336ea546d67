#include "adapters/metrics/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <limits>
#include <sstream>

#include "base/check.h"

namespace annulus {
namespace {

constexpr double kBoundsSeconds[MetricHistogram::kBounds] = {
    50e-6, 100e-6, 200e-6, 400e-6, 800e-6, 1.5e-3, 3e-3, 6e-3, 12e-3,
    25e-3, 50e-3,  100e-3, 200e-3, 400e-3, 1.0,    2.5,  5.0,  10.0};

std::vector<prometheus::ClientMetric::Label> ToLabels(const MetricLabels& labels) {
  std::vector<prometheus::ClientMetric::Label> out;
  for (const auto& [name, value] : labels) out.push_back({name, value});
  return out;
}

}  // namespace

double MetricHistogram::BoundSeconds(int bucket) { return kBoundsSeconds[bucket]; }

void MetricHistogram::Observe(Duration latency) {
  const double seconds = ToSeconds(latency);
  const double* bound =
      std::lower_bound(std::begin(kBoundsSeconds), std::end(kBoundsSeconds), seconds);
  counts_[bound - kBoundsSeconds].Add();
  sum_.Add(seconds);
}

void MetricRegistry::Name(const std::string& name, const std::string& help, Kind kind) {
  for (const Family& family : families_) {
    if (family.name != name) continue;
    ANNULUS_CHECK(family.kind == kind);
    return;
  }
  families_.push_back({name, help, kind});
}

template <class Metric>
Metric* MetricRegistry::AddTo(std::deque<Child<Metric>>* children, const std::string& name,
                              const std::string& help, Kind kind, MetricLabels labels) {
  std::lock_guard<std::mutex> lock(mutex_);
  Name(name, help, kind);
  Child<Metric>& child = children->emplace_back();
  child.family = name;
  child.labels = std::move(labels);
  return &child.metric;
}

MetricCounter* MetricRegistry::Counter(const std::string& name, const std::string& help,
                                       MetricLabels labels) {
  return AddTo(&counters_, name, help, Kind::kCounter, std::move(labels));
}

MetricGauge* MetricRegistry::Gauge(const std::string& name, const std::string& help,
                                   MetricLabels labels) {
  return AddTo(&gauges_, name, help, Kind::kGauge, std::move(labels));
}

MetricHistogram* MetricRegistry::Histogram(const std::string& name, const std::string& help,
                                           MetricLabels labels) {
  return AddTo(&histograms_, name, help, Kind::kHistogram, std::move(labels));
}

std::string MetricRegistry::Render() const {
  std::vector<prometheus::MetricFamily> page;
  std::lock_guard<std::mutex> lock(mutex_);
  for (const Family& family : families_) {
    prometheus::MetricFamily& out = page.emplace_back();
    out.name = family.name;
    out.help = family.help;
    switch (family.kind) {
      case Kind::kCounter:
        out.type = prometheus::MetricType::Counter;
        for (const auto& child : counters_) {
          if (child.family != family.name) continue;
          prometheus::ClientMetric& metric = out.metric.emplace_back();
          metric.label = ToLabels(child.labels);
          metric.counter.value = static_cast<double>(child.metric.value());
        }
        break;
      case Kind::kGauge:
        out.type = prometheus::MetricType::Gauge;
        for (const auto& child : gauges_) {
          if (child.family != family.name) continue;
          prometheus::ClientMetric& metric = out.metric.emplace_back();
          metric.label = ToLabels(child.labels);
          metric.gauge.value = child.metric.value();
        }
        break;
      case Kind::kHistogram:
        out.type = prometheus::MetricType::Histogram;
        for (const auto& child : histograms_) {
          if (child.family != family.name) continue;
          prometheus::ClientMetric& metric = out.metric.emplace_back();
          metric.label = ToLabels(child.labels);
          uint64_t cumulative = 0;
          for (int i = 0; i <= MetricHistogram::kBounds; ++i) {
            cumulative += child.metric.count(i);
            metric.histogram.bucket.push_back(
                {cumulative, i < MetricHistogram::kBounds
                                 ? MetricHistogram::BoundSeconds(i)
                                 : std::numeric_limits<double>::infinity()});
          }
          metric.histogram.sample_count = cumulative;
          metric.histogram.sample_sum = child.metric.sum_seconds();
        }
        break;
    }
  }
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, page);
  return text.str();
}

}  // namespace annulus
