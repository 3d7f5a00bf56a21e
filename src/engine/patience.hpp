#pragma once

// What must not be lost because the program has no memory at the moment: an element on its way from one place to
// another, the reason why it has no value. It is tried until there is some. Any thread, also with a lock: what
// waits for that lock could do nothing without memory either.

#include <time.h>

#include <exception>
#include <new>
#include <utility>

namespace procpool::inline v0::detail {

// `body` may be begun again: where it throws it has changed nothing.
template <class Body>
auto patiently(Body&& body) {
  for (;;) {
    try {
      return body();
    } catch (std::bad_alloc const&) {
      timespec const pause{0, 1'000'000};
      ::nanosleep(&pause, nullptr);
    }
  }
}

// What is good to have, and can be done without. False: there was no memory for it.
template <class Body>
bool if_possible(Body&& body) noexcept {
  try {
    body();
    return true;
  } catch (...) {
    return false;
  }
}

// Moves everything behind what is there.
template <class Queue, class From>
void move_behind(Queue& to, From&& from) {
  for (auto& one : from) patiently([&] { to.push_back(std::move(one)); });
}

}  // namespace procpool::inline v0::detail
