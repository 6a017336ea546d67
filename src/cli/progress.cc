#include "cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/duration.h"
#include "cli/encoding.h"

namespace annulus::cli {

std::string ProgressLine(const std::string& verb, ProgressSnapshot now, uint64_t bytes_total,
                         double seconds) {
  constexpr int kBar = 24;
  const auto rate =
      static_cast<uint64_t>(seconds > 0 ? static_cast<double>(now.records) / seconds : 0);
  const std::string counts = absl::StrCat(Grouped(now.records), " records  ", Grouped(rate), "/s");
  if (bytes_total == 0) {
    return absl::StrCat(verb, "  ", counts, "  ", HumanBytes(now.bytes), "  ",
                        HumanDuration(seconds));
  }
  const double share =
      std::min(1.0, static_cast<double>(now.bytes) / static_cast<double>(bytes_total));
  const int filled = static_cast<int>(share * kBar);
  std::string bar(filled, '=');
  if (filled < kBar) bar += '>';
  bar.resize(kBar, ' ');
  std::string line =
      absl::StrFormat("%s  [%s] %3d%%  %s", verb, bar, static_cast<int>(share * 100), counts);
  if (share > 0.005 && seconds > 0.5) {
    absl::StrAppend(&line, "  ", HumanDuration(seconds / share - seconds), " left");
  }
  return line;
}

Progress::Progress(std::string verb, uint64_t bytes_total,
                   std::function<ProgressSnapshot()> snapshot)
    : verb_(std::move(verb)),
      bytes_total_(bytes_total),
      snapshot_(std::move(snapshot)),
      start_(std::chrono::steady_clock::now()),
      shown_(isatty(STDERR_FILENO) != 0) {
  if (!shown_) return;
  thread_ = std::thread([this] {
    std::unique_lock lock(mutex_);
    while (!ended_changed_.wait_for(lock, std::chrono::milliseconds(100), [&] { return ended_; })) {
      Draw();
    }
    Clear();
  });
}

Progress::~Progress() {
  if (!shown_) return;
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }
  ended_changed_.notify_all();
  thread_.join();
}

void Progress::Say(const std::string& line) {
  std::lock_guard lock(mutex_);
  if (shown_) Clear();
  std::fprintf(stderr, "%s\n", line.c_str());
}

double Progress::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void Progress::Draw() {
  const std::string line = ProgressLine(verb_, snapshot_(), bytes_total_, seconds());
  std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
  std::fflush(stderr);
}

void Progress::Clear() {
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
}

}  // namespace annulus::cli
