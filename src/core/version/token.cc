#include "core/version/token.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace annulus {
namespace {

// What a tag is over: varint(length of the purpose), the purpose (its kind and format, then what
// the token is bound to), the body. The purpose is not in the token: whoever opens one says what it
// must be for, and the tag agrees or does not. Made in one piece, since each put and get makes one.
Bytes Message(BytesView kind, std::initializer_list<BytesView> bound_to, BytesView body) {
  size_t purpose_bytes = kind.size();
  for (BytesView name : bound_to) purpose_bytes += VarintSize(name.size()) + name.size();
  Bytes message;
  message.reserve(VarintSize(purpose_bytes) + purpose_bytes + body.size());
  PutVarint(&message, purpose_bytes);
  message.append(kind);
  for (BytesView name : bound_to) PutSized(&message, name);
  message.append(body);
  return message;
}

Bytes ContextMessage(const Item& item, BytesView body) {
  return Message("c1", {item.bucket, item.key, item.sort_key}, body);
}

Bytes PositionMessage(BytesView bucket, BytesView key, BytesView body) {
  return Message("p1", {bucket, key}, body);
}

// The part of a token that is no tag; empty, which no token's is, where there is none.
BytesView BodyOf(BytesView token) {
  return token.substr(0, token.size() - std::min(token.size(), KeyedTag::kSize));
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
  body.reserve(vector.EncodedSize() + KeyedTag::kSize);
  vector.EncodeTo(&body);
  const Bytes message = ContextMessage(item, body);
  return Seal(message, std::move(body));
}

absl::StatusOr<VersionVector> TokenKeys::OpenContext(const Item& item, BytesView token) const {
  VersionVector vector;
  if (token.empty()) return vector;
  const BytesView body = BodyOf(token);
  if (!IsOurs(ContextMessage(item, body), token)) return BadContext();
  ByteReader reader(body);
  if (!vector.DecodeFrom(&reader) || !reader.done()) return BadContext();
  return vector;
}

Bytes TokenKeys::SealPosition(BytesView bucket, BytesView key, BytesView position) const {
  if (position.empty()) return Bytes();
  return Seal(PositionMessage(bucket, key, position), Bytes(position));
}

absl::StatusOr<Bytes> TokenKeys::OpenPosition(BytesView bucket, BytesView key,
                                              BytesView token) const {
  if (token.empty()) return Bytes();
  const BytesView body = BodyOf(token);
  if (!IsOurs(PositionMessage(bucket, key, body), token)) return BadPosition();
  return Bytes(body);
}

Bytes TokenKeys::Seal(BytesView message, Bytes body) const {
  const auto tag = keys_.front().Of(message);
  body.append(tag.data(), tag.size());
  return body;
}

bool TokenKeys::IsOurs(BytesView message, BytesView token) const {
  const BytesView tag = token.substr(BodyOf(token).size());
  return std::any_of(keys_.begin(), keys_.end(),
                     [&](const KeyedTag& key) { return key.Matches(message, tag); });
}

}  // namespace annulus
