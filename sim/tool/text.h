#pragma once

#include <unistd.h>

#include <cstdint>
#include <string>

namespace annulus::sim {

// "12,345"
std::string Grouped(uint64_t number);
double Percent(uint64_t part, uint64_t whole);

// A line that rewrites itself, on a terminal only.
class Progress {
 public:
  void Show(const std::string& line);
  void Clear() { Show(""); }

 private:
  bool on_ = isatty(STDERR_FILENO) == 1;
};

}  // namespace annulus::sim
