#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace annulus::load {

enum class Kind : uint8_t { kRead, kUpdate, kInsert, kScan, kModify };
inline constexpr int kKinds = 5;
std::string_view ToString(Kind kind);

// Shares of operations; they are weighed against their sum.
struct Mix {
  double read = 0.5;
  double update = 0.5;
  double insert = 0;  // A key that was not there before.
  double scan = 0;    // The items of one key, in the order of their sort keys.
  double modify = 0;  // A read, then an update with what it showed.
};

// How keys are chosen among those that there are.
enum class Choice : uint8_t {
  kUniform,
  kZipfian,  // A few keys often: the i-th most popular with a weight of 1 / i^0.99, scattered.
  kLatest,   // The same, the youngest key being the most popular.
};

// The core workloads of YCSB (Cooper et al., 2010), A to F.
struct YcsbWorkload {
  Mix mix;
  Choice choice = Choice::kZipfian;
};
std::optional<YcsbWorkload> YcsbNamed(std::string_view letter);

// Numbers in [0, n), the smaller the more likely (Gray et al., "Quickly generating billion-record
// synthetic databases", 1994), for an n that grows.
class Zipfian {
 public:
  // REQUIRES: n > 0.
  explicit Zipfian(uint64_t n);
  uint64_t Next(uint64_t n, Random* random);

 private:
  void GrowTo(uint64_t n);

  uint64_t n_ = 0;
  double zeta_n_ = 0;
  double zeta_2_;
  double eta_ = 0;
};

// What to do next. Not thread-safe.
class Workload {
 public:
  struct Step {
    Kind kind = Kind::kRead;
    uint64_t key = 0;
  };

  // `keys` are there at first: 0 .. keys - 1. REQUIRES: keys > 0.
  Workload(Mix mix, Choice choice, uint64_t keys, uint64_t seed);

  Step Next();
  uint64_t keys() const { return keys_; }

 private:
  uint64_t ChooseKey();

  std::vector<double> until_;  // By kind: the sum of the shares up to it.
  Choice choice_;
  uint64_t keys_;
  Random random_;
  std::optional<Zipfian> zipfian_;
};

}  // namespace annulus::load
