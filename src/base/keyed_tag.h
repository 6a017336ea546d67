#pragma once

#include <openssl/types.h>

#include <array>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "base/bytes.h"

namespace annulus {

// HMAC-SHA-256 cut to 128 bits: what makes a token (context, page token) ours and not forged.
// Copies share what OpenSSL works in. One thread at a time, also for all copies of one.
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
  explicit KeyedTag(BytesView secret);

  // Set up with the secret once: each tag begins from there. To set one up takes several times as
  // long as a tag.
  std::shared_ptr<EVP_MAC_CTX> hmac_;
};

}  // namespace annulus
