// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// fork_safe<T>(): the one T of this process. A child that is forked never finds its mutex locked by a
// thread that the child has not got. The T is never destroyed: static objects may use it after
// everything else. Any thread.

#include <pthread.h>

#include <procpool/detail/engine/mutex.hpp>

namespace procpool::inline v0_1::os {

// A T has a detail::Mutex `mutex`, which its other fields need.
template <class T>
T& fork_safe() {
  struct Fork {
    static void begin() PROCPOOL_UNCHECKED_LOCKS { fork_safe<T>().mutex.lock(); }
    static void end() PROCPOOL_UNCHECKED_LOCKS { fork_safe<T>().mutex.unlock(); }
  };
  static T& only = *new T;
  static int const guarded = ::pthread_atfork(Fork::begin, Fork::end, Fork::end);
  static_cast<void>(guarded);
  return only;
}

}  // namespace procpool::inline v0_1::os
