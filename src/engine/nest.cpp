// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/detail/async/nest.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <utility>

#include <procpool/detail/async/callbacks.hpp>
#include <procpool/errors.hpp>

#include "os/stack.hpp"

namespace procpool::inline v0_1::detail {
namespace {

// Up to this depth the end of the stack is not looked for.
constexpr std::size_t near = std::size_t{32} << 10;
// The most of a stack that is used, because touched memory stays.
constexpr std::size_t most = std::size_t{4} << 20;

std::optional<os::Stack> stack_around(std::uintptr_t top) {
  auto const own = os::own_stack();
  return own && own->begin <= top && top < own->end ? own : os::mapping_around(top);
}

// If the end is unknown, or there is no memory for the look, the stack counts as ending here. Not
// inlined: the frames of the callers lie on the stack at each level.
[[gnu::noinline]] std::uintptr_t end_of_stack(std::uintptr_t top) noexcept {
  try {
    if (auto const stack = stack_around(top)) return stack->begin;
  } catch (...) {
  }
  return top - near;
}

}  // namespace

class Nest {
 public:
  explicit Nest(std::uintptr_t top) noexcept : top_(top) {}

  // Is this place so deep that no coroutine may begin there?
  bool is_deep(std::uintptr_t here) noexcept {
    // The stack of a fiber, which may run meanwhile, lies elsewhere.
    if (here > top_ || top_ - here < near) return false;
    if (floor_ == 0) {
      end_ = end_of_stack(top_);
      floor_ = top_ - std::min<std::size_t>(most, (top_ - end_) / 2);
    }
    return here < floor_ && here >= end_;
  }

  void add(Postponed& one) noexcept {
    one.next_ = *place_;
    one.place_ = place_;
    if (one.next_ != nullptr) one.next_->place_ = &one.next_;
    *place_ = &one;
    place_ = &one.next_;
  }

  void remove(Postponed& one) noexcept {
    *one.place_ = one.next_;
    if (one.next_ != nullptr) one.next_->place_ = one.place_;
    if (place_ == &one.next_) place_ = one.place_;
    one.place_ = nullptr;
  }

  bool empty() const noexcept { return first_ == nullptr; }

  // A coroutine that begins may postpone others. Those come before the ones behind it, so that all
  // begin in the order of their calls.
  void run() noexcept {
    while (first_ != nullptr) {
      Postponed& one = *first_;
      remove(one);
      Postponed* behind = std::exchange(first_, nullptr);
      if (behind != nullptr) behind->place_ = &behind;
      place_ = &first_;
      one.go();
      *place_ = behind;
      if (behind != nullptr) behind->place_ = place_;
    }
    place_ = &first_;
  }

  constinit static thread_local Nest* current;

 private:
  std::uintptr_t const top_;
  std::uintptr_t floor_ = 0;  // 0: not known yet
  std::uintptr_t end_ = 0;
  Postponed* first_ = nullptr;
  Postponed** place_ = &first_;  // the link to the next one that is postponed
};

constinit thread_local Nest* Nest::current = nullptr;

Postponed::~Postponed() {
  if (place_ != nullptr && Nest::current != nullptr) Nest::current->remove(*this);
}

void begin(std::coroutine_handle<> coroutine, Postponed& start) noexcept {
  auto const here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  Nest* const nest = Nest::current;
  if (nest == nullptr) {
    Nest outermost(here);
    Nest::current = &outermost;
    coroutine.resume();
    outermost.run();
    Nest::current = nullptr;
  } else if (nest->is_deep(here)) {
    nest->add(start);
  } else {
    coroutine.resume();
  }
}

bool is_any_postponed() noexcept { return Nest::current != nullptr && !Nest::current->empty(); }

void postpone(Postponed& one) noexcept { Nest::current->add(one); }

void go_on_with_postponed() noexcept {
  if (is_any_postponed()) Nest::current->run();
}

void resume(std::coroutine_handle<> coroutine) noexcept {
  try {
    coroutine.resume();
  } catch (...) {  // a coroutine type that lets errors out
    Callbacks::without_pool()->log("a coroutine let out: " + describe(std::current_exception()));
  }
}

}  // namespace procpool::inline v0_1::detail
