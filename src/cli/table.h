#pragma once

#include <string>
#include <vector>

namespace annulus::cli {

// Columns as wide as their widest cell, two blanks between them; numbers to the right. Widths are
// counted in characters, so that UTF-8 lines up.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}
  // REQUIRES: as many cells as the header has.
  void Add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }
  // Every line ends with a newline.
  std::string ToString() const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace annulus::cli
