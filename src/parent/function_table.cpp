// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/function_table.hpp"

#include <algorithm>

namespace procpool::inline v0_1::parent {

FunctionTable::Place FunctionTable::place(detail::Task const& task) {
  detail::Function const& function = task.function();
  std::uint64_t const owner = function.state ? task.id() : task.label().id;
  auto const matches = [&](Entry const& entry) {
    return entry.code == function.code && entry.loaded == function.loaded && entry.owner == owner;
  };
  ++clock_;
  Entry& last = entries_[last_];  // mostly it is the one used last
  if (matches(last)) {
    last.used = clock_;
    return {last_, true};
  }
  if (auto const known = std::ranges::find_if(entries_, matches); known != entries_.end()) {
    known->used = clock_;
    last_ = static_cast<std::size_t>(known - entries_.begin());
    return {last_, true};
  }
  // The worker keeps a callable's state until another is put in its place, and that may be large.
  auto const is_left_over = [](Entry const& entry) {
    return entry.has_state && entry.state.expired();
  };
  auto free = std::ranges::find_if(entries_, is_left_over);
  if (free == entries_.end()) free = std::ranges::min_element(entries_, {}, &Entry::used);
  *free = Entry{function.code,  function.loaded,           owner,
                function.state, function.state != nullptr, clock_};
  last_ = static_cast<std::size_t>(free - entries_.begin());
  return {last_, false};
}

}  // namespace procpool::inline v0_1::parent
