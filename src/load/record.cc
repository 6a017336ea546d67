#include "load/record.h"

#include "absl/strings/str_cat.h"
#include "core/error.h"

namespace annulus::load {

void Window::Count(Kind kind, Duration taken, const absl::Status& status) {
  if (!status.ok()) {
    ++failed;
    ++failures[absl::StrCat(absl::StatusCodeToString(status.code()), " ",
                            DetailsOf(status).reason)];
    return;
  }
  ++ok;
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(taken).count();
  latency.Add(static_cast<uint64_t>(micros));
  latency_of[static_cast<size_t>(kind)].Add(static_cast<uint64_t>(micros));
}

void Window::Add(const Window& other) {
  ok += other.ok;
  failed += other.failed;
  latency.Add(other.latency);
  for (size_t i = 0; i < latency_of.size(); ++i) latency_of[i].Add(other.latency_of[i]);
  for (const auto& [what, count] : other.failures) failures[what] += count;
}

}  // namespace annulus::load
