#pragma once

#include <pthread.h>

namespace annulus {

// The name of the calling thread for people: top, ps -L, perf, a debugger. At most 15 characters;
// the first thread's is that of the process.
inline void NameThisThread(const char* name) { pthread_setname_np(pthread_self(), name); }

}  // namespace annulus
