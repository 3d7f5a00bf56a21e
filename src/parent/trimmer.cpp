// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/trimmer.hpp"

#include <utility>

namespace procpool::inline v0_1::parent {

Trimmer::Trimmer(std::function<void()> wake) : wake_(std::move(wake)) {}

void Trimmer::add(Trimmable& object) {
  detail::Lock const lock(mutex_);
  objects_.push_back(&object);
}

void Trimmer::wake() noexcept {
  detail::Lock const lock(mutex_);
  if (wake_) wake_();
}

void Trimmer::expect() noexcept {
  if (!expected_.exchange(true, std::memory_order_acq_rel)) wake();
}

void Trimmer::resource_ended() noexcept {
  // The thread may sleep until a later look.
  if (!some_ended_.exchange(true, std::memory_order_acq_rel)) wake();
}

void Trimmer::watch_resources() {
  // Relaxed: that it was done twice would do no harm.
  if (watches_.load(std::memory_order_relaxed)) return;
  detail::Resource::add_listener(weak_from_this());
  watches_.store(true, std::memory_order_relaxed);
}

std::optional<TimePoint> Trimmer::look(TimePoint now) {
  if (some_ended_.load(std::memory_order_acquire)) {
    next_ = earlier(next_, last_ ? *last_ + resources_are_kept : now);
  }
  if (next_ ? now < *next_ : !expected_.load(std::memory_order_acquire)) return next_;
  // First: an object that expects a look from now on may have been passed already.
  expected_.store(false, std::memory_order_release);
  some_ended_.store(false, std::memory_order_release);
  last_ = now;
  next_ = std::nullopt;
  // Not under the mutex: objects expect looks under their own.
  for (std::size_t i = 0; Trimmable* const each = object(i); ++i) {
    next_ = earlier(next_, each->trim(now));
  }
  // The next look is due anyhow: nothing needs to wake the thread for it.
  if (next_) expected_.store(true, std::memory_order_release);
  return next_;
}

Trimmable* Trimmer::object(std::size_t index) const {
  detail::Lock const lock(mutex_);
  return index < objects_.size() ? objects_[index] : nullptr;
}

void Trimmer::close() noexcept {
  detail::Lock const lock(mutex_);
  wake_ = {};
  objects_.clear();
}

}  // namespace procpool::inline v0_1::parent
