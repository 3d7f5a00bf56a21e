#pragma once

// make_adaptive: for a mutex that is held for some instructions only, by threads that run at the
// same time. A thread that finds it taken spins for a microsecond or two before it sleeps. To be
// called before another thread knows the mutex. For detail::Mutex its constructor does the same.

#include <pthread.h>

namespace procpool::inline v0::os {

template <class Mutex>
void make_adaptive(Mutex& mutex) noexcept {
  pthread_mutexattr_t kind;
  pthread_mutexattr_init(&kind);
  pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ADAPTIVE_NP);
  pthread_mutex_destroy(mutex.native_handle());
  pthread_mutex_init(mutex.native_handle(), &kind);
  pthread_mutexattr_destroy(&kind);
}

}  // namespace procpool::inline v0::os
