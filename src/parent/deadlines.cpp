// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/deadlines.hpp"

#include <utility>

#include "engine/patience.hpp"
#include "parent/next_look.hpp"

namespace procpool::inline v0::parent {

void Deadlines::expire_at(TimePoint time, std::weak_ptr<SharedInput> input,
                          SharedInput::Expiry expiry) {
  expiring_.emplace(time, Expiring{std::move(input), expiry});
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
    expiring_.erase(expiring_.begin());
  }
  NextLook next;
  if (!delayed_.empty()) next.at(delayed_.begin()->first);
  if (!expiring_.empty()) next.at(expiring_.begin()->first);
  due.next = next.time();
  return due;
}

}  // namespace procpool::inline v0::parent
