// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// How deep values may nest on the stack that is there. Encoding and decoding go down by a few
// hundred bytes per level, and by what users' own code takes; so much is left to both, and to an
// exception that is thrown there. Runs on the thread that encodes or decodes.

#include <algorithm>
#include <optional>

#include <procpool/detail/codec/archive/sink.hpp>

#include "os/stack.hpp"

namespace procpool::inline v0_1::detail {
namespace {

// At this depth of a message the limit of the stack is read again, because it may have changed...
constexpr std::size_t far = std::size_t{64} << 10;

// ... and at this one the stack is looked up, if it is not the thread's own.
constexpr std::size_t unasked = std::size_t{8} << 10;

// Above the end of a stack is left what one more level, or an exception, may take.
std::uintptr_t floor_of(os::Stack const& stack) {
  auto const size = stack.end - stack.begin;
  auto const left = std::clamp<std::size_t>(size / 16, 24 << 10, 64 << 10);
  return stack.begin + std::min<std::size_t>(left, size / 8 * 3);
}

std::optional<os::Stack> own_around(std::uintptr_t here, bool again) {
  auto const own = os::own_stack(again);
  return own && own->begin <= here && here < own->end ? own : std::nullopt;
}

std::uintptr_t first_floor(std::uintptr_t here) {
  auto const own = own_around(here, false);
  return own ? std::max(floor_of(*own), here - far) : here - unasked;
}

std::uintptr_t final_floor(std::uintptr_t here) {
  auto stack = own_around(here, true);
  if (!stack) stack = os::mapping_around(here);
  return stack ? floor_of(*stack) : 0;
}

}  // namespace

void Depth::deeper(std::uintptr_t here) {
  if (levels_ >= nesting_limit) refuse_nesting();
  if (state_ == State::unasked) {
    state_ = State::first;
    floor_ = first_floor(here);
  }
  if (here < floor_ && state_ == State::first) {
    state_ = State::final;
    floor_ = final_floor(here);
  }
  if (here < floor_) refuse_stack(levels_);
}

}  // namespace procpool::inline v0_1::detail
