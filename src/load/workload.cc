#include "load/workload.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace annulus::load {
namespace {

constexpr double kTheta = 0.99;

// Scatters neighbours (the finalizer of MurmurHash3).
uint64_t Scatter(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdu;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53u;
  return x ^ (x >> 33);
}

}  // namespace

std::string_view ToString(Kind kind) {
  constexpr std::string_view kNames[kKinds] = {"read", "update", "insert", "scan", "modify"};
  return kNames[static_cast<int>(kind)];
}

std::optional<YcsbWorkload> YcsbNamed(std::string_view letter) {
  if (letter == "a") return YcsbWorkload{{.read = 0.5, .update = 0.5}};
  if (letter == "b") return YcsbWorkload{{.read = 0.95, .update = 0.05}};
  if (letter == "c") return YcsbWorkload{{.read = 1, .update = 0}};
  if (letter == "d") {
    return YcsbWorkload{{.read = 0.95, .update = 0, .insert = 0.05}, Choice::kLatest};
  }
  if (letter == "e") return YcsbWorkload{{.read = 0, .update = 0, .insert = 0.05, .scan = 0.95}};
  if (letter == "f") return YcsbWorkload{{.read = 0.5, .update = 0, .modify = 0.5}};
  return std::nullopt;
}

Zipfian::Zipfian(uint64_t n) : zeta_2_(1 + std::pow(0.5, kTheta)) {
  ANNULUS_CHECK(n > 0);
  GrowTo(n);
}

void Zipfian::GrowTo(uint64_t n) {
  for (uint64_t i = n_ + 1; i <= n; ++i) zeta_n_ += 1 / std::pow(static_cast<double>(i), kTheta);
  n_ = n;
  eta_ = (1 - std::pow(2.0 / static_cast<double>(n), 1 - kTheta)) / (1 - zeta_2_ / zeta_n_);
}

uint64_t Zipfian::Next(uint64_t n, Random* random) {
  if (n > n_) GrowTo(n);
  const double u = random->Fraction();
  const double uz = u * zeta_n_;
  if (uz < 1) return 0;
  if (uz < zeta_2_) return std::min<uint64_t>(1, n_ - 1);
  const double power = std::pow(eta_ * u - eta_ + 1, 1 / (1 - kTheta));
  return std::min(static_cast<uint64_t>(static_cast<double>(n_) * power), n_ - 1);
}

Workload::Workload(Mix mix, Choice choice, uint64_t keys, uint64_t seed)
    : choice_(choice), keys_(keys), random_(seed) {
  ANNULUS_CHECK(keys > 0);
  double sum = 0;
  for (double share : {mix.read, mix.update, mix.insert, mix.scan, mix.modify}) {
    sum += share;
    until_.push_back(sum);
  }
  ANNULUS_CHECK(sum > 0);
  for (double& share : until_) share /= sum;
  if (choice != Choice::kUniform) zipfian_.emplace(keys);
}

Workload::Step Workload::Next() {
  const double chance = random_.Fraction();
  const auto kind = std::upper_bound(until_.begin(), until_.end(), chance) - until_.begin();
  Step step{static_cast<Kind>(std::min<int64_t>(kind, kKinds - 1))};
  step.key = step.kind == Kind::kInsert ? keys_++ : ChooseKey();
  return step;
}

uint64_t Workload::ChooseKey() {
  switch (choice_) {
    case Choice::kUniform:
      return random_.Below(keys_);
    case Choice::kZipfian:
      return Scatter(zipfian_->Next(keys_, &random_)) % keys_;
    case Choice::kLatest:
      return keys_ - 1 - zipfian_->Next(keys_, &random_);
  }
  return 0;
}

}  // namespace annulus::load
