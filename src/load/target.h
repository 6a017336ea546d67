#pragma once

#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

namespace annulus::load {

// A system under load, as one client of it sees it. Everything happens on one loop's thread.
class Target {
 public:
  // May start operations. Never runs before the call that it was given to has returned.
  using Done = absl::AnyInvocable<void(absl::Status)>;

  virtual ~Target() = default;

  virtual void Read(uint64_t key, Done done) = 0;
  // Replaces what this client last wrote or read there.
  virtual void Write(uint64_t key, Done done) = 0;
  // What stands behind the key in the system's own order, some items.
  virtual void Scan(uint64_t key, Done done) = 0;
};

}  // namespace annulus::load
