#pragma once

#include "absl/status/status.h"

namespace annulus::cli {

// What scripts may rely on. Documented in `annulus --help`; never renumbered.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,       // It failed; a write was not applied.
  kExitUsage = 2,        // The command line or the input is wrong; nothing was done.
  kExitNotFound = 3,     // The key has no value.
  kExitSiblings = 4,     // Several values where one was asked for.
  kExitUnknown = 5,      // A write may or may not have been applied.
  kExitUnreachable = 6,  // No endpoint could be reached; nothing was sent.
  kExitInterrupted = 130,
};

ExitCode ExitCodeFor(const absl::Status& status);

}  // namespace annulus::cli
