#pragma once

// Steps that must not fail for want of memory. Otherwise an element that moves from one queue to
// another would be lost, or the reason why it has no value. The steps are repeated until there is
// memory. Any thread, also with a lock held: the waiters could do nothing without memory either.

#include <time.h>

#include <exception>
#include <new>
#include <utility>

#include <procpool/detail/engine/mutex.hpp>

namespace procpool::inline v0::detail {

// `body` may be repeated: if it throws, it has changed nothing. It needs the locks of its caller.
// They are not checked here.
template <class Body>
auto patiently(Body&& body) PROCPOOL_UNCHECKED_LOCKS {
  for (;;) {
    try {
      return body();
    } catch (std::bad_alloc const&) {
      timespec const pause{0, 1'000'000};
      ::nanosleep(&pause, nullptr);
    }
  }
}

// For steps that can be left out. False: there was no memory.
template <class Body>
bool if_possible(Body&& body) noexcept PROCPOOL_UNCHECKED_LOCKS {
  try {
    body();
    return true;
  } catch (...) {
    return false;
  }
}

// Appends all elements of `from`.
template <class Queue, class From>
void move_behind(Queue& to, From&& from) {
  for (auto& one : from) patiently([&] { to.push_back(std::move(one)); });
}

}  // namespace procpool::inline v0::detail
