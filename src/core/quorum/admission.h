#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "base/time.h"

namespace annulus {

// How much a process takes on at once. What is offered beyond that is refused before it costs
// memory, so that an overload ends with the load: nothing is queued that nobody waits for any more.
class Admission {
 public:
  struct Options {
    // Operations of clients under way, and forwarded writes that this node runs for coordinators.
    size_t operations_max = 4096;
    // Of their requests, and of what their reads are expected to bring.
    size_t bytes_max = 32 << 20;
    Duration retry_after = 100ms;
  };

  explicit Admission(Options options) : options_(options) {}

  // OK: it counts until Leave. RESOURCE_EXHAUSTED with reason "OVERLOADED" and when to try again.
  // One alone is always let in.
  absl::Status Enter(size_t bytes);
  // As it entered.
  void Leave(size_t bytes);

  // What a read is expected to bring: at once the size of a larger one, slowly that of smaller
  // ones.
  size_t ReadBytes() const { return read_bytes_; }
  void LearnReadBytes(size_t bytes);

  size_t operations() const { return operations_; }
  size_t bytes() const { return bytes_; }
  uint64_t refused() const { return refused_; }

 private:
  Options options_;
  size_t operations_ = 0;
  size_t bytes_ = 0;
  size_t read_bytes_ = 4096;
  uint64_t refused_ = 0;
};

// Holds an operation's place while it runs.
class AdmissionPlace {
 public:
  AdmissionPlace(Admission* admission, size_t bytes)
      : admission_(admission), bytes_(bytes), status_(admission->Enter(bytes)) {}
  AdmissionPlace(const AdmissionPlace&) = delete;
  AdmissionPlace& operator=(const AdmissionPlace&) = delete;
  ~AdmissionPlace() {
    if (status_.ok()) admission_->Leave(bytes_);
  }
  const absl::Status& status() const { return status_; }

 private:
  Admission* admission_;
  size_t bytes_;
  absl::Status status_;
};

}  // namespace annulus
