#include "core/version/token.h"

#include <optional>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace annulus {
namespace {

// What a token is for, and for what. It is not in the token: whoever opens one says what it must be
// for, and the tag agrees or does not. The first byte is the kind and format.
Bytes ContextPurpose(const Item& item) {
  Bytes purpose = "c1";
  PutSized(&purpose, item.bucket);
  PutSized(&purpose, item.key);
  PutSized(&purpose, item.sort_key);
  return purpose;
}

Bytes PositionPurpose(BytesView bucket, BytesView key) {
  Bytes purpose = "p1";
  PutSized(&purpose, bucket);
  PutSized(&purpose, key);
  return purpose;
}

Bytes Message(BytesView purpose, BytesView body) {
  Bytes message;
  message.reserve(purpose.size() + body.size() + 10);
  PutSized(&message, purpose);
  message.append(body);
  return message;
}

absl::Status BadContext() {
  return absl::InvalidArgumentError(
      "the context was cut, altered, or made for another item or by another cluster: read the item "
      "again and hand back the context of that read, unchanged");
}

absl::Status BadPosition() {
  return absl::InvalidArgumentError(
      "the page token was cut, altered, or made for another bucket or key or by another cluster: "
      "hand back the last one of the same scan, unchanged, or start again without one");
}

}  // namespace

absl::StatusOr<TokenKeys> TokenKeys::Create(const std::vector<Bytes>& secrets) {
  if (secrets.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("there is no cluster secret: at least one of ", KeyedTag::kSecretBytesMin,
                     " bytes or more is needed, the same on every node"));
  }
  TokenKeys keys;
  for (const Bytes& secret : secrets) {
    absl::StatusOr<KeyedTag> key = KeyedTag::Create(secret);
    if (!key.ok()) return key.status();
    keys.keys_.push_back(*std::move(key));
  }
  return keys;
}

Bytes TokenKeys::SealContext(const Item& item, const VersionVector& vector) const {
  if (vector.empty()) return Bytes();
  Bytes body;
  vector.EncodeTo(&body);
  return Seal(ContextPurpose(item), body);
}

absl::StatusOr<VersionVector> TokenKeys::OpenContext(const Item& item, BytesView token) const {
  VersionVector vector;
  if (token.empty()) return vector;
  absl::StatusOr<BytesView> body = Open(ContextPurpose(item), token);
  if (!body.ok()) return BadContext();
  ByteReader reader(*body);
  if (!vector.DecodeFrom(&reader) || !reader.done()) return BadContext();
  return vector;
}

Bytes TokenKeys::SealPosition(BytesView bucket, BytesView key, BytesView position) const {
  if (position.empty()) return Bytes();
  return Seal(PositionPurpose(bucket, key), position);
}

absl::StatusOr<Bytes> TokenKeys::OpenPosition(BytesView bucket, BytesView key,
                                              BytesView token) const {
  if (token.empty()) return Bytes();
  absl::StatusOr<BytesView> body = Open(PositionPurpose(bucket, key), token);
  if (!body.ok()) return BadPosition();
  return Bytes(*body);
}

Bytes TokenKeys::Seal(BytesView purpose, BytesView body) const {
  const auto tag = keys_.front().Of(Message(purpose, body));
  Bytes token(body);
  token.append(tag.data(), tag.size());
  return token;
}

absl::StatusOr<BytesView> TokenKeys::Open(BytesView purpose, BytesView token) const {
  if (token.size() >= KeyedTag::kSize) {
    const BytesView body = token.substr(0, token.size() - KeyedTag::kSize);
    const BytesView tag = token.substr(body.size());
    const Bytes message = Message(purpose, body);
    for (const KeyedTag& key : keys_) {
      if (key.Matches(message, tag)) return body;
    }
  }
  return absl::InvalidArgumentError("no key made this token");
}

}  // namespace annulus
