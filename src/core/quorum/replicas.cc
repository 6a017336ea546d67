#include "core/quorum/replicas.h"

#include "absl/strings/str_cat.h"

namespace annulus {

absl::StatusOr<uint32_t> Resolve(ReplicaCount count, uint32_t owners, const char* name) {
  if (count.number != 0) {
    if (count.level != Consistency::kDefault) {
      return absl::InvalidArgumentError(
          absl::StrCat("give a consistency level or ", name, ", not both"));
    }
    if (count.number > owners) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, " is ", count.number, ", but a key has only ", owners, " owners"));
    }
    return count.number;
  }
  switch (count.level) {
    case Consistency::kOne:
      return 1;
    case Consistency::kAll:
      return owners;
    case Consistency::kDefault:
    case Consistency::kQuorum:
      break;
  }
  return owners / 2 + 1;
}

}  // namespace annulus
