#include "absl/synchronization/mutex.h"
#include "bin/serve.h"
#include "cli/cli.h"

int main(int argc, char** argv) {
  // gRPC's mutexes are Abseil's, and Debian's build of those looks for deadlocks at every lock.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return annulus::cli::Main(argc, argv, annulus::Serve);
}
