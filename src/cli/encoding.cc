#include "cli/encoding.h"

#include <ctime>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace annulus::cli {
namespace {

// The length of the UTF-8 sequence at the front, 0 where there is none.
size_t SequenceLength(absl::string_view bytes) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  size_t length = 0;
  uint32_t point = 0, smallest = 0;
  if ((first & 0xe0) == 0xc0) {
    length = 2, point = first & 0x1f, smallest = 0x80;
  } else if ((first & 0xf0) == 0xe0) {
    length = 3, point = first & 0x0f, smallest = 0x800;
  } else if ((first & 0xf8) == 0xf0) {
    length = 4, point = first & 0x07, smallest = 0x10000;
  } else {
    return 0;
  }
  if (bytes.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    point = (point << 6) | (byte(i) & 0x3f);
  }
  if (point < smallest || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return 0;
  return length;
}

}  // namespace

bool IsUtf8(absl::string_view bytes) {
  while (!bytes.empty()) {
    const size_t length = SequenceLength(bytes);
    if (length == 0) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

std::string Printable(absl::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const size_t length = SequenceLength(bytes);
    const unsigned char first = bytes[0];
    // C1 controls (U+0080..U+009f) move some terminals' cursors too.
    const bool c1 = length == 2 && first == 0xc2 && static_cast<unsigned char>(bytes[1]) < 0xa0;
    if (length == 0 || (length == 1 && (first < 0x20 || first == 0x7f)) || c1) {
      switch (first) {
        case '\n':
          out += "\\n";
          break;
        case '\r':
          out += "\\r";
          break;
        case '\t':
          out += "\\t";
          break;
        default:
          absl::StrAppendFormat(&out, "\\x%02x", first);
      }
      bytes.remove_prefix(1);
      continue;
    }
    if (first == '\\') {
      out += "\\\\";
    } else {
      absl::StrAppend(&out, bytes.substr(0, length));
    }
    bytes.remove_prefix(length);
  }
  return out;
}

std::string PrintableShort(absl::string_view bytes, size_t bytes_max) {
  if (bytes.size() <= bytes_max) return Printable(bytes);
  absl::string_view head = bytes.substr(0, bytes_max);
  // Do not cut inside a character: it would be shown as escapes.
  while (!head.empty() && (static_cast<unsigned char>(bytes[head.size()]) & 0xc0) == 0x80 &&
         bytes_max - head.size() < 4) {
    head.remove_suffix(1);
  }
  return absl::StrCat(Printable(head), "... (", HumanBytes(bytes.size()), ")");
}

std::string Base64(absl::string_view bytes) { return absl::Base64Escape(bytes); }

absl::StatusOr<std::string> FromBase64(absl::string_view text, absl::string_view what) {
  std::string bytes;
  if (!absl::Base64Unescape(text, &bytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " is not base64: \"", PrintableShort(text, 40), "\""));
  }
  return bytes;
}

std::string Hex(absl::string_view bytes) { return absl::BytesToHexString(bytes); }

absl::StatusOr<std::string> FromHex(absl::string_view text, size_t size, absl::string_view what) {
  bool good = text.size() == 2 * size;
  for (char c : text) good = good && absl::ascii_isxdigit(static_cast<unsigned char>(c));
  if (!good) {
    return absl::InvalidArgumentError(absl::StrCat(what, " should be ", 2 * size,
                                                   " hexadecimal digits, not \"",
                                                   PrintableShort(text, 40), "\""));
  }
  return absl::HexStringToBytes(text);
}

std::string HexId(uint64_t id) { return absl::StrFormat("%016x", id); }

std::string UtcTime(int64_t micros) {
  int64_t seconds = micros / 1'000'000, rest = micros % 1'000'000;
  if (rest < 0) rest += 1'000'000, --seconds;
  const std::time_t time = seconds;
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
  return absl::StrFormat("%s.%06dZ", text, rest);
}

std::string Grouped(uint64_t number) {
  std::string text = absl::StrCat(number);
  for (size_t i = text.size(); i > 3; i -= 3) text.insert(i - 3, ",");
  return text;
}

std::string HumanBytes(uint64_t bytes) {
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  double amount = static_cast<double>(bytes);
  const char* unit = "B";
  for (const char* next : {"KiB", "MiB", "GiB", "TiB"}) {
    if (amount < 1024) break;
    amount /= 1024;
    unit = next;
  }
  return absl::StrFormat("%.1f %s", amount, unit);
}

}  // namespace annulus::cli
