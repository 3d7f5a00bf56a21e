// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/deadlines.hpp"

#include <iterator>
#include <utility>

#include "engine/patience.hpp"
#include "parent/next_look.hpp"

namespace procpool::inline v0_1::parent {

void Deadlines::expire_at(TimePoint time, std::weak_ptr<SharedInput> input,
                          SharedInput::Expiry expiry) {
  expiring_.emplace(time, Expiring{std::move(input), expiry});
  forget_ended();
}

bool Deadlines::add(Chunk const& chunk, TimePoint now) {
  if (auto const wait = chunk.task->queue_timeout()) {
    expire_at(detail::later(now, *wait), chunk.input, SharedInput::Expiry::not_begun);
  }
  if (auto const deadline = chunk.task->deadline()) {
    if (now >= *deadline) {
      chunk.input->expire(SharedInput::Expiry::all);
      return true;
    }
    expire_at(*deadline, chunk.input, SharedInput::Expiry::all);
  }
  return false;
}

// Twice as many looks as there are ends: what has ended and is still here is never more than what
// has not, but for a constant.
void Deadlines::forget_ended() noexcept {
  constexpr int looks = 2;
  for (int look = 0; look < looks && !expiring_.empty(); ++look) {
    if (next_look_ == expiring_.end()) next_look_ = expiring_.begin();
    next_look_ =
        next_look_->second.input.expired() ? expiring_.erase(next_look_) : std::next(next_look_);
  }
}

void Deadlines::forget(Expirings::iterator which) noexcept {
  bool const looks_here = which == next_look_;
  auto const behind = expiring_.erase(which);
  if (looks_here) next_look_ = behind;
}

void Deadlines::delay_until(TimePoint time, Chunk element) {
  auto const place = detail::patiently([&] { return delayed_.emplace(time, Chunk()); });
  place->second = std::move(element);
}

Chunks Deadlines::remove_delayed(std::function<bool(Chunk const&)> const& which) {
  Chunks removed;
  std::erase_if(delayed_, [&](auto& entry) {
    if (!which(entry.second)) return false;
    detail::patiently([&] { removed.push_back(std::move(entry.second)); });
    return true;
  });
  return removed;
}

Chunk const* Deadlines::first_delayed() const noexcept {
  return delayed_.empty() ? nullptr : &delayed_.begin()->second;
}

Deadlines::Due Deadlines::due(TimePoint now) {
  Due due;
  while (!delayed_.empty() && delayed_.begin()->first <= now) {
    detail::patiently([&] { due.delayed.push_back(std::move(delayed_.begin()->second)); });
    delayed_.erase(delayed_.begin());
  }
  while (!expiring_.empty() && expiring_.begin()->first <= now) {
    auto const& [waiting, expiry] = expiring_.begin()->second;
    if (auto const input = waiting.lock()) {
      input->expire(expiry);
      due.expired = true;
    }
    forget(expiring_.begin());
  }
  NextLook next;
  if (!delayed_.empty()) next.at(delayed_.begin()->first);
  if (!expiring_.empty()) next.at(expiring_.begin()->first);
  due.next = next.time();
  return due;
}

}  // namespace procpool::inline v0_1::parent
