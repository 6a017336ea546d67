#include "core/quorum/admission.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "core/error.h"

namespace annulus {
namespace {

constexpr size_t kReadBytesMin = 4096;
constexpr size_t kReadBytesDecay = 32;

}  // namespace

absl::Status Admission::Enter(size_t bytes) {
  const bool full = operations_ >= options_.operations_max ||
                    (operations_ > 0 && bytes_ + bytes > options_.bytes_max);
  if (full) {
    ++refused_;
    return WithDetails(absl::ResourceExhaustedError(
                           absl::StrCat("this process has ", operations_, " operations of ", bytes_,
                                        " bytes under way; slow down, or ask another one")),
                       {.reason = "OVERLOADED", .retry_after = options_.retry_after});
  }
  ++operations_;
  bytes_ += bytes;
  return absl::OkStatus();
}

void Admission::Leave(size_t bytes) {
  ANNULUS_CHECK(operations_ > 0 && bytes_ >= bytes);
  --operations_;
  bytes_ -= bytes;
}

void Admission::LearnReadBytes(size_t bytes) {
  if (bytes < read_bytes_) bytes = read_bytes_ - (read_bytes_ - bytes) / kReadBytesDecay;
  read_bytes_ = std::max(bytes, kReadBytesMin);
}

}  // namespace annulus
