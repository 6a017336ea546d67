#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace annulus::cli {

// Strict UTF-8 (no surrogates, no overlong forms): what may stand in JSON as it is.
bool IsUtf8(absl::string_view bytes);

// One line that a terminal shows safely: text stays as it is, control characters, backslashes and
// bytes that are no UTF-8 become escapes.
std::string Printable(absl::string_view bytes);
// The same, cut to `columns_max` bytes with "..." behind it.
std::string PrintableShort(absl::string_view bytes, size_t bytes_max);

std::string Base64(absl::string_view bytes);
// `what` names the input in the error.
absl::StatusOr<std::string> FromBase64(absl::string_view text, absl::string_view what);

std::string Hex(absl::string_view bytes);
// Exactly `size` bytes.
absl::StatusOr<std::string> FromHex(absl::string_view text, size_t size, absl::string_view what);

std::string HexId(uint64_t id);

// Microseconds since 1970 as "2024-05-01T12:00:00.000000Z".
std::string UtcTime(int64_t micros);

// 1234567 as "1,234,567".
std::string Grouped(uint64_t number);
// "1.5 MiB"
std::string HumanBytes(uint64_t bytes);

}  // namespace annulus::cli
