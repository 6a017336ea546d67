#pragma once

#include <array>
#include <cstdint>

#include "absl/status/statusor.h"
#include "base/bytes.h"

namespace annulus {

// HMAC-SHA-256 cut to 128 bits: what makes a token (context, page token) ours and not forged.
class KeyedTag {
 public:
  static constexpr size_t kSize = 16;
  static constexpr size_t kSecretBytesMin = 16;

  // INVALID_ARGUMENT where the secret is shorter than kSecretBytesMin.
  static absl::StatusOr<KeyedTag> Create(BytesView secret);

  std::array<char, kSize> Of(BytesView message) const;
  // In constant time.
  bool Matches(BytesView message, BytesView tag) const;

 private:
  explicit KeyedTag(Bytes secret) : secret_(std::move(secret)) {}
  Bytes secret_;
};

}  // namespace annulus
