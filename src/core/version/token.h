#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "base/keyed_tag.h"
#include "core/version/item.h"
#include "core/version/vector.h"

namespace annulus {

// The opaque tokens that clients carry: contexts, bound to an item, and scan positions, bound to a
// bucket and key. Each ends in a keyed tag. The first secret signs, all are accepted, so that a
// secret can be rotated without failing requests.
class TokenKeys {
 public:
  // INVALID_ARGUMENT where there is no secret or one is too short.
  static absl::StatusOr<TokenKeys> Create(const std::vector<Bytes>& secrets);

  // An empty token for the empty vector: there is nothing to hand back.
  Bytes SealContext(const Item& item, const VersionVector& vector) const;
  // The empty vector for an empty token. INVALID_ARGUMENT where it was cut, altered, made for
  // another item or by another cluster; the message says what to do.
  absl::StatusOr<VersionVector> OpenContext(const Item& item, BytesView token) const;

  // `position` is the data key from which the scan goes on. An empty one, the start, is an empty
  // token, and the other way round; else the errors are those of a context.
  Bytes SealPosition(BytesView bucket, BytesView key, BytesView position) const;
  absl::StatusOr<Bytes> OpenPosition(BytesView bucket, BytesView key, BytesView token) const;

 private:
  // The body with its tag, which is over the message.
  Bytes Seal(BytesView message, Bytes body) const;
  // Whether one of our keys made the token's tag, over the message.
  bool IsOurs(BytesView message, BytesView token) const;

  std::vector<KeyedTag> keys_;
};

}  // namespace annulus
