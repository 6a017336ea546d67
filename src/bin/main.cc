#include <pthread.h>

#include "absl/synchronization/mutex.h"
#include "bin/serve.h"
#include "cli/cli.h"

// For jemalloc. Two threads of a node allocate much, the loop and the one that commits; an arena
// more takes a third of a MiB. What is free goes back to the system after a second or so.
extern "C" const char* malloc_conf;
const char* malloc_conf = "narenas:2,dirty_decay_ms:1000,muzzy_decay_ms:0";

int main(int argc, char** argv) {
  // Names for top, ps and perf; nodes of `annulus dev` are started as /proc/self/exe.
  pthread_setname_np(pthread_self(), "annulus");
  // gRPC's mutexes are Abseil's, and Debian's build of those looks for deadlocks at every lock.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return annulus::cli::Main(argc, argv, annulus::Serve);
}
