#include "base/keyed_tag.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace annulus {

absl::StatusOr<KeyedTag> KeyedTag::Create(BytesView secret) {
  if (secret.size() < kSecretBytesMin) {
    return absl::InvalidArgumentError(absl::StrCat("the cluster secret has ", secret.size(),
                                                   " bytes; it needs at least ", kSecretBytesMin));
  }
  return KeyedTag(Bytes(secret));
}

std::array<char, KeyedTag::kSize> KeyedTag::Of(BytesView message) const {
  unsigned char full[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  const unsigned char* done =
      HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
           reinterpret_cast<const unsigned char*>(message.data()), message.size(), full, &size);
  ANNULUS_CHECK(done != nullptr && size >= kSize);
  std::array<char, kSize> tag;
  std::memcpy(tag.data(), full, kSize);
  return tag;
}

bool KeyedTag::Matches(BytesView message, BytesView tag) const {
  if (tag.size() != kSize) return false;
  const std::array<char, kSize> expected = Of(message);
  return CRYPTO_memcmp(expected.data(), tag.data(), kSize) == 0;
}

}  // namespace annulus
