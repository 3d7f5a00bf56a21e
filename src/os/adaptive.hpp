#pragma once

// make_adaptive: for a mutex that is held for some instructions only, by threads that run at the same time: who
// finds it taken looks again for a microsecond or two before it sleeps. A sleep would cost both sides a system
// call, and more time than the lock is held. Before anybody else knows of the mutex.

#include <pthread.h>

#include <mutex>

namespace procpool::inline v0::os {

inline void make_adaptive(std::mutex& mutex) noexcept {
  pthread_mutexattr_t kind;
  pthread_mutexattr_init(&kind);
  pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ADAPTIVE_NP);
  pthread_mutex_destroy(mutex.native_handle());
  pthread_mutex_init(mutex.native_handle(), &kind);
  pthread_mutexattr_destroy(&kind);
}

}  // namespace procpool::inline v0::os
