#include "core/version/item.h"

#include "absl/strings/str_cat.h"

namespace annulus {
namespace {

constexpr size_t kBucketBytesMax = 63;

bool IsLowerOrDigit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

}  // namespace

absl::Status ValidateBucket(BytesView bucket) {
  bool valid = !bucket.empty() && bucket.size() <= kBucketBytesMax && IsLowerOrDigit(bucket[0]);
  for (char c : bucket) valid = valid && (IsLowerOrDigit(c) || c == '.' || c == '_' || c == '-');
  if (valid) return absl::OkStatus();
  // The name is not repeated: it may be any bytes.
  return absl::InvalidArgumentError(absl::StrCat(
      "the bucket's name (", bucket.size(),
      " bytes) is malformed: it must be 1 to 63 of a-z, 0-9, '.', '_', '-', the first a letter or "
      "digit"));
}

absl::Status ValidateItem(const Item& item, const Limits& limits) {
  if (absl::Status status = ValidateBucket(item.bucket); !status.ok()) return status;
  if (item.key.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the key is empty: it must be 1 to ", limits.key_bytes_max, " bytes"));
  }
  if (item.key.size() > limits.key_bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat("the key has ", item.key.size(),
                                                   " bytes: the limit is ", limits.key_bytes_max));
  }
  if (item.sort_key.size() > limits.sort_key_bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat("the sort key has ", item.sort_key.size(),
                                                   " bytes: the limit is ",
                                                   limits.sort_key_bytes_max));
  }
  return absl::OkStatus();
}

}  // namespace annulus
