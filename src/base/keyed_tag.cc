#include "base/keyed_tag.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace annulus {

absl::StatusOr<KeyedTag> KeyedTag::Create(BytesView secret) {
  if (secret.size() < kSecretBytesMin) {
    return absl::InvalidArgumentError(absl::StrCat("the cluster secret has ", secret.size(),
                                                   " bytes; it needs at least ", kSecretBytesMin));
  }
  return KeyedTag(secret);
}

KeyedTag::KeyedTag(BytesView secret) {
  EVP_MAC* algorithm = EVP_MAC_fetch(nullptr, OSSL_MAC_NAME_HMAC, nullptr);
  ANNULUS_CHECK(algorithm != nullptr);
  hmac_ = {EVP_MAC_CTX_new(algorithm), EVP_MAC_CTX_free};
  EVP_MAC_free(algorithm);  // The context holds it.
  std::string digest = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), digest.size()),
      OSSL_PARAM_construct_end()};
  ANNULUS_CHECK(hmac_ != nullptr &&
                EVP_MAC_init(hmac_.get(), reinterpret_cast<const unsigned char*>(secret.data()),
                             secret.size(), parameters) == 1);
}

std::array<char, KeyedTag::kSize> KeyedTag::Of(BytesView message) const {
  unsigned char full[EVP_MAX_MD_SIZE];
  size_t size = 0;
  // Without a key: under the one that it has.
  ANNULUS_CHECK(EVP_MAC_init(hmac_.get(), nullptr, 0, nullptr) == 1 &&
                EVP_MAC_update(hmac_.get(), reinterpret_cast<const unsigned char*>(message.data()),
                               message.size()) == 1 &&
                EVP_MAC_final(hmac_.get(), full, &size, sizeof full) == 1 && size >= kSize);
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
