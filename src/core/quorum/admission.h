#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "base/time.h"
#include "core/quorum/concurrency_limit.h"

namespace annulus {

// The reason (core/error.h) of what is refused here.
inline constexpr char kReasonOverloaded[] = "OVERLOADED";

// How much a process takes on at once. What is offered beyond that is refused before it costs
// memory, so that an overload ends with the load: nothing is queued that nobody waits for any more.
class Admission {
 public:
  enum class Work : uint8_t {
    kRead,
    kWrite,
    // A write that another process has let in already: it has more room than those at this door, so
    // that what has been done for it is not wasted.
    kForwarded,
    kScan,
  };

  struct Options {
    // Operations of clients under way, and forwarded writes that this node runs for coordinators.
    size_t operations_max = 4096;
    // Of their requests, and of what their reads are expected to bring.
    size_t bytes_max = 32 << 20;
    Duration retry_after = 100ms;
    // Of the reads among them, and of the writes: the disk may be busy while the memory is not.
    ConcurrencyLimit::Options limit;
  };

  explicit Admission(Options options);

  // OK: it counts until Leave. RESOURCE_EXHAUSTED with reason "OVERLOADED" and when to try again.
  // One alone is always let in.
  absl::Status Enter(Work work, size_t bytes, Instant now);
  // One that entered is served; it leaves all the same.
  void Served(Work work, Duration took, Instant now);
  // As it entered.
  void Leave(Work work, size_t bytes);

  // What a read is expected to bring: at once the size of a larger one, slowly that of smaller
  // ones.
  size_t ReadBytes() const { return read_bytes_; }
  void LearnReadBytes(size_t bytes);

  size_t operations() const { return operations_; }
  size_t bytes() const { return bytes_; }
  uint64_t refused() const { return refused_; }
  // How many reads, or writes, are let in at once these days.
  size_t limit(Work work) const { return kinds_[KindOf(work)].limit.limit(); }
  // Whether something was refused of late: then what can wait should.
  bool Strained(Instant now) const;

 private:
  struct Kind {
    ConcurrencyLimit limit;
    size_t under_way = 0;
  };
  static size_t KindOf(Work work);
  bool IsFull(Work work, size_t bytes) const;

  Options options_;
  std::array<Kind, 3> kinds_;
  size_t operations_ = 0;
  size_t bytes_ = 0;
  size_t read_bytes_ = 4096;
  uint64_t refused_ = 0;
  Instant refused_at_ = Instant::min();
};

// Holds an operation's place while it runs.
class AdmissionPlace {
 public:
  AdmissionPlace(Admission* admission, Admission::Work work, size_t bytes, Instant now)
      : admission_(admission),
        work_(work),
        bytes_(bytes),
        entered_(now),
        status_(admission->Enter(work, bytes, now)) {}
  AdmissionPlace(const AdmissionPlace&) = delete;
  AdmissionPlace& operator=(const AdmissionPlace&) = delete;
  ~AdmissionPlace() {
    if (status_.ok()) admission_->Leave(work_, bytes_);
  }
  const absl::Status& status() const { return status_; }
  void Served(Instant now) { admission_->Served(work_, now - entered_, now); }

 private:
  Admission* admission_;
  Admission::Work work_;
  size_t bytes_;
  Instant entered_;
  absl::Status status_;
};

}  // namespace annulus
