#pragma once

#include <algorithm>

namespace annulus {

// Lets a process repeat only as much as its successes pay for, so that trouble is not multiplied by
// those who meet it (the idea is gRPC's retry throttling, gRFC A6). A repeat costs one token, a
// success brings a part of one.
class RetryBudget {
 public:
  static constexpr int kTokensMax = 100;

  explicit RetryBudget(int successes_per_token = 10, int tokens_at_first = kTokensMax)
      : successes_per_token_(successes_per_token), parts_(tokens_at_first * successes_per_token) {}

  // Whether this repeat may be sent; it is then paid for.
  bool Take() {
    if (parts_ < successes_per_token_) return false;
    parts_ -= successes_per_token_;
    return true;
  }
  void Succeeded() { parts_ = std::min(parts_ + 1, kTokensMax * successes_per_token_); }

 private:
  int successes_per_token_;
  int parts_;
};

}  // namespace annulus
