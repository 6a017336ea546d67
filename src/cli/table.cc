#include "cli/table.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "base/check.h"

namespace annulus::cli {
namespace {

size_t Width(const std::string& text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

bool IsNumber(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == ',' || c == '.' || c == '-';
  });
}

}  // namespace

std::string Table::ToString() const {
  std::vector<size_t> widths;
  std::vector<bool> numbers;
  for (size_t column = 0; column < header_.size(); ++column) {
    size_t width = Width(header_[column]);
    bool number = !rows_.empty();
    for (const auto& row : rows_) {
      ANNULUS_CHECK(row.size() == header_.size());
      width = std::max(width, Width(row[column]));
      number = number && IsNumber(row[column]);
    }
    widths.push_back(width);
    numbers.push_back(number);
  }
  std::string out;
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (size_t column = 0; column < cells.size(); ++column) {
      if (column > 0) text += "  ";
      const std::string pad(widths[column] - Width(cells[column]), ' ');
      text += numbers[column] ? pad + cells[column] : cells[column] + pad;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  };
  line(header_);
  for (const auto& row : rows_) line(row);
  return out;
}

}  // namespace annulus::cli
