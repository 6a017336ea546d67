#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "cli/record_file.h"
#include "client/pipeline.h"

namespace annulus::cli {

// Writes records through a pipeline, many at once, those of one item in their order.
//
//   replace   get -> put with that context (again, where the record was too large to be shown
//   whole) create    put without context; but get first where this file has had the item before, so
//   that
//             repeated keys end with their last line in either mode
//
// For `create` it remembers a 64-bit hash of each item: some 16 bytes a record. A collision costs
// one needless read. Siblings of one record are written with one context and so stay siblings.
class Importer {
 public:
  struct Options {
    std::string bucket;
    kv::v1::Consistency consistency = kv::v1::CONSISTENCY_UNSPECIFIED;
    uint32_t w = 0;
    bool create = false;
    size_t records_max = 256;  // Under way at once.
    std::chrono::milliseconds ttl{0};
  };
  struct Counts {
    uint64_t read = 0;
    uint64_t written = 0;
    uint64_t failed = 0;
    uint64_t unknown = 0;  // Of the failed.
    uint64_t skipped = 0;  // Expired meanwhile, or a tombstone.
  };

  // `complain` is called with a line for each failure, on any thread.
  Importer(Pipeline* pipeline, Options options, std::function<void(const std::string&)> complain);

  // Waits for room, and until an earlier record of the same item has ended.
  void Write(Record record);
  // Until all have ended. Required before the destructor.
  void Drain();

  Counts counts() const;
  uint64_t ended() const { return ended_; }
  // No endpoint was there for a whole timeout: going on would only count failures.
  bool cut_off() const { return cut_off_; }

 private:
  // One record on its way.
  struct Job {
    Record record;
    std::string id;  // Of the item, unique.
    std::string context;
    size_t left = 0;    // Puts that are not answered.
    bool more = false;  // The context covers only a part of what was there.
    int rounds = 0;
    absl::Status failure;
  };
  using JobPtr = std::shared_ptr<Job>;

  void Get(const JobPtr& job, bool chained);
  void Put(const JobPtr& job, bool chained);
  void OnPut(const JobPtr& job, const absl::Status& status);
  void End(const JobPtr& job);
  void Start(kv::v1::Operation operation, bool chained, Pipeline::Callback done);

  Pipeline* const pipeline_;
  const Options options_;
  const std::function<void(const std::string&)> complain_;
  absl::flat_hash_set<uint64_t> seen_;  // By the caller's thread only.
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  absl::flat_hash_set<std::string> under_way_;
  Counts counts_;
  std::atomic<uint64_t> ended_{0};
  std::atomic<bool> cut_off_{false};
};

}  // namespace annulus::cli
