// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// FunctionTable: the functions that one worker knows, each in a place of a fixed number. The parent
// alone decides. The least recently used function makes room; its place gets the registration of
// another. A slot owns the table, under its mutex.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/engine/task.hpp>

#include "protocol/function_registration.hpp"

namespace procpool::inline v0_1::parent {

class FunctionTable {
 public:
  struct Place {
    std::size_t slot;
    bool registered;  // the worker knows it already
  };

  // The place of a task's function, which counts as used and, from now on, as registered.
  Place place(detail::Task const& task);
  // The registration did not go out.
  void forget(std::size_t slot) { entries_[slot] = Entry{}; }

 private:
  struct Entry {
    detail::Trampoline code = nullptr;
    std::int64_t loaded = 0;
    // The task, or else the label: a callable without state serves every task with that label.
    std::uint64_t owner = 0;
    std::weak_ptr<detail::Bytes const> state{};  // of the task's callable: gone with the task
    bool has_state = false;
    std::uint64_t used = 0;
  };
  std::array<Entry, protocol::function_slots> entries_{};
  std::uint64_t clock_ = 0;
  std::size_t last_ = 0;
};

}  // namespace procpool::inline v0_1::parent
