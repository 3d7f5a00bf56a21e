// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Mutex, Lock and Condition with Clang's attributes of thread safety: -Wthread-safety checks that a
// field is used under its mutex only. Other compilers ignore the attributes. The classes stand on
// pthread directly: <mutex> and <condition_variable> would cost each user compile time.

#include <pthread.h>

#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/export.hpp>

#ifdef __clang__
#define PROCPOOL_THREAD_SAFETY(x) __attribute__((x))
#else
#define PROCPOOL_THREAD_SAFETY(x)
#endif

/// On a field: it is read and written only under this mutex.
#define PROCPOOL_GUARDED_BY(mutex) PROCPOOL_THREAD_SAFETY(guarded_by(mutex))
/// On a function or lambda: the caller holds these mutexes.
#define PROCPOOL_REQUIRES(...) PROCPOOL_THREAD_SAFETY(requires_capability(__VA_ARGS__))
/// On a function: the caller does not hold these mutexes, because the function locks them.
#define PROCPOOL_EXCLUDES(...) PROCPOOL_THREAD_SAFETY(locks_excluded(__VA_ARGS__))
/// On a function that locks or unlocks for its caller.
#define PROCPOOL_ACQUIRE(...) PROCPOOL_THREAD_SAFETY(acquire_capability(__VA_ARGS__))
#define PROCPOOL_RELEASE(...) PROCPOOL_THREAD_SAFETY(release_capability(__VA_ARGS__))
/// On a function that the analysis cannot follow. The reason stands beside it.
#define PROCPOOL_UNCHECKED_LOCKS PROCPOOL_THREAD_SAFETY(no_thread_safety_analysis)

namespace procpool::inline v0_1::detail {

class PROCPOOL_THREAD_SAFETY(capability("mutex")) Mutex {
 public:
  struct Adaptive {};

  constexpr Mutex() noexcept : mutex_ PTHREAD_MUTEX_INITIALIZER {}
  // For a mutex that is held for some instructions only: a thread that finds it taken spins for a
  // microsecond or two before it sleeps. A sleep would cost both sides a system call.
  constexpr explicit Mutex(Adaptive) noexcept : mutex_ PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP {}
  Mutex(Mutex const&) = delete;
  Mutex& operator=(Mutex const&) = delete;

  void lock() PROCPOOL_ACQUIRE() { pthread_mutex_lock(&mutex_); }
  void unlock() PROCPOOL_RELEASE() { pthread_mutex_unlock(&mutex_); }
  [[nodiscard]] bool try_lock() PROCPOOL_THREAD_SAFETY(try_acquire_capability(true)) {
    return pthread_mutex_trylock(&mutex_) == 0;
  }

  pthread_mutex_t* native_handle() noexcept { return &mutex_; }

 private:
  pthread_mutex_t mutex_;  // has no destructor: as std::mutex, it holds nothing
};

/// Holds a mutex from its construction to its end, except between unlock() and lock().
class PROCPOOL_THREAD_SAFETY(scoped_lockable) Lock {
 public:
  struct Adopt {};

  explicit Lock(Mutex& mutex) PROCPOOL_ACQUIRE(mutex) : mutex_(mutex) { mutex.lock(); }
  Lock(Mutex& mutex, Adopt) PROCPOOL_REQUIRES(mutex) : mutex_(mutex) {}  // behind try_lock()
  Lock(Lock const&) = delete;
  Lock& operator=(Lock const&) = delete;
  ~Lock() PROCPOOL_RELEASE() {
    if (held_) mutex_.unlock();
  }

  void lock() PROCPOOL_ACQUIRE() {
    mutex_.lock();
    held_ = true;
  }
  void unlock() PROCPOOL_RELEASE() {
    held_ = false;
    mutex_.unlock();
  }

 private:
  friend class Condition;

  Mutex& mutex_;
  bool held_ = true;
};

/// A condition variable. A wait may end for no reason: callers wait in a loop, in which the
/// analysis sees that the condition is read under the mutex.
class PROCPOOL_API Condition {
 public:
  constexpr Condition() noexcept : condition_ PTHREAD_COND_INITIALIZER {}
  Condition(Condition const&) = delete;
  Condition& operator=(Condition const&) = delete;
  ~Condition();

  void wait(Lock& lock);
  /// False: the time is over.
  bool wait_until(Lock& lock, TimePoint deadline);
  void notify_one() noexcept;
  void notify_all() noexcept;

 private:
  pthread_cond_t condition_;
};

}  // namespace procpool::inline v0_1::detail
