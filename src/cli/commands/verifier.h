#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "cli/record_file.h"
#include "client/pipeline.h"

namespace annulus::cli {

// Compares the store with a file that was imported: each item should have exactly the values of its
// last line. Note() all records first, then Compare() all: what it remembers between the two is 64
// bits of hash and a line number for each item.
class Verifier {
 public:
  struct Options {
    std::string bucket;
    kv::v1::Consistency consistency = kv::v1::CONSISTENCY_UNSPECIFIED;
    uint32_t r = 0;
  };
  struct Counts {
    uint64_t read = 0;
    uint64_t repeated = 0;   // Lines whose key comes again later: not compared.
    uint64_t compared = 0;   // Items that were read, the next two included.
    uint64_t missing = 0;    // No value at all.
    uint64_t different = 0;  // Other values, or more of them.
    uint64_t failed = 0;     // Not to be read.
  };

  // `complain` is called with a line for each difference, on any thread.
  Verifier(Pipeline* pipeline, Options options, std::function<void(const std::string&)> complain);

  void Note(const Record& record);
  // Waits for room in the pipeline. All is answered after the pipeline's Drain().
  void Compare(Record record);

  Counts counts() const;
  uint64_t ended() const { return ended_; }
  // No endpoint was there for a whole timeout.
  bool cut_off() const { return cut_off_; }

 private:
  Pipeline* const pipeline_;
  const Options options_;
  const std::function<void(const std::string&)> complain_;
  absl::flat_hash_map<uint64_t, uint64_t> last_line_;  // By the caller's thread only.
  mutable std::mutex mutex_;
  Counts counts_;
  std::atomic<uint64_t> ended_{0};
  std::atomic<bool> cut_off_{false};
};

}  // namespace annulus::cli
