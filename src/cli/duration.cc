#include "cli/duration.h"

#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace annulus::cli {

absl::StatusOr<std::chrono::milliseconds> ParseDuration(absl::string_view text,
                                                        absl::string_view what) {
  const auto wrong = [&] {
    return absl::InvalidArgumentError(absl::StrCat(
        what, " should be a number with a unit, like 250ms, 10s, 10m, 1h30m, 7d or 2w, not \"",
        text, "\""));
  };
  if (text.empty()) return wrong();
  double total_ms = 0;
  absl::string_view rest = text;
  while (!rest.empty()) {
    size_t digits = 0;
    while (digits < rest.size() && (absl::ascii_isdigit(rest[digits]) || rest[digits] == '.')) {
      ++digits;
    }
    double number = 0;
    if (digits == 0 || !absl::SimpleAtod(rest.substr(0, digits), &number)) return wrong();
    rest.remove_prefix(digits);
    size_t letters = 0;
    while (letters < rest.size() && absl::ascii_isalpha(rest[letters])) ++letters;
    const absl::string_view unit = rest.substr(0, letters);
    rest.remove_prefix(letters);
    double unit_ms = 0;
    if (unit == "ms") {
      unit_ms = 1;
    } else if (unit == "s") {
      unit_ms = 1e3;
    } else if (unit == "m") {
      unit_ms = 60e3;
    } else if (unit == "h") {
      unit_ms = 3600e3;
    } else if (unit == "d") {
      unit_ms = 86400e3;
    } else if (unit == "w") {
      unit_ms = 7 * 86400e3;
    } else {
      return wrong();
    }
    total_ms += number * unit_ms;
  }
  // A thousand years: beyond it the sum with today's time no longer fits the wire.
  if (total_ms > 1000.0 * 366 * 86400e3) return wrong();
  const auto rounded = static_cast<int64_t>(std::llround(total_ms));
  if (rounded == 0 && total_ms > 0) return wrong();
  return std::chrono::milliseconds(rounded);
}

std::string HumanDuration(double seconds) {
  if (seconds < 0) seconds = 0;
  if (seconds < 60) return absl::StrFormat("%.1f s", seconds);
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 3600) return absl::StrFormat("%dm%02ds", whole / 60, whole % 60);
  return absl::StrFormat("%dh%02dm", whole / 3600, whole / 60 % 60);
}

}  // namespace annulus::cli
