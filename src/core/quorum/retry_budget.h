#pragma once

#include <algorithm>

namespace annulus {

// Lets a process repeat only as much as its successes pay for, so that trouble is not multiplied by
// those who meet it (the idea is gRPC's retry throttling, gRFC A6). A repeat costs one token, a
// success brings a tenth of one.
class RetryBudget {
 public:
  static constexpr int kTokensMax = 100;
  static constexpr int kSuccessesPerToken = 10;

  // Whether this repeat may be sent; it is then paid for.
  bool Take() {
    if (tenths_ < kSuccessesPerToken) return false;
    tenths_ -= kSuccessesPerToken;
    return true;
  }
  void Succeeded() { tenths_ = std::min(tenths_ + 1, kTokensMax * kSuccessesPerToken); }

 private:
  int tenths_ = kTokensMax * kSuccessesPerToken;
};

}  // namespace annulus
