// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Steps that must not fail for want of memory. Otherwise an element that moves from one queue to
// another would be lost, or the reason why it has no value. The steps are repeated until there is
// memory. Any thread, also with a lock held: the waiters could do nothing without memory either.
//
// The thread that could free memory may be waiting for the very outcome that such a step delivers. So
// a thread that delivers outcomes holds a reserve back, which such steps use up first.

#include <time.h>

#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <utility>

#include <procpool/detail/engine/mutex.hpp>

namespace procpool::inline v0_1::detail {

// Memory for the steps of one thread that must not fail.
class Reserve {
 public:
  Reserve();  // throws std::bad_alloc
  Reserve(Reserve const&) = delete;
  Reserve& operator=(Reserve const&) = delete;
  ~Reserve();

  // Serves the calling thread from now on, to the end of this object.
  void hold() noexcept;
  // Makes the memory anew if it was used up and there is some.
  void renew() noexcept;
  // Gives the reserve of the calling thread back to the heap. False: the thread has none.
  static bool use() noexcept;

 private:
  std::unique_ptr<std::byte[]> memory_;
};

// `body` may be repeated: if it throws, it has changed nothing. It needs the locks of its caller.
// They are not checked here.
template <class Body>
auto patiently(Body&& body) PROCPOOL_UNCHECKED_LOCKS {
  for (;;) {
    try {
      return body();
    } catch (std::bad_alloc const&) {
      if (Reserve::use()) continue;
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

}  // namespace procpool::inline v0_1::detail
