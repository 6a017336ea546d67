#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace annulus::cli {

struct ProgressSnapshot {
  uint64_t records = 0;
  uint64_t bytes = 0;  // Of the input, where bytes_total is known; else of what has passed.
};

// One line: "import  [=====>    ] 51%  30,512 records  12,034/s  2.4 s left".
// `bytes_total` 0: unknown, then without bar and rest.
std::string ProgressLine(const std::string& verb, ProgressSnapshot now, uint64_t bytes_total,
                         double seconds);

// Redraws that line on standard error ten times a second while it lives, and clears it at its end.
// Does nothing where standard error is no terminal.
class Progress {
 public:
  // `snapshot` is called on a thread of its own.
  Progress(std::string verb, uint64_t bytes_total, std::function<ProgressSnapshot()> snapshot);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Prints a line above it.
  void Say(const std::string& line);

  double seconds() const;

 private:
  void Draw();
  void Clear();

  const std::string verb_;
  const uint64_t bytes_total_;
  const std::function<ProgressSnapshot()> snapshot_;
  const std::chrono::steady_clock::time_point start_;
  const bool shown_;
  std::mutex mutex_;
  std::condition_variable ended_changed_;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace annulus::cli
