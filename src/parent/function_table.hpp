#pragma once

// FunctionTable: which function lies in which slot of one worker. The parent alone decides, and evicts the least
// recently used; a registration for a slot replaces what was there. Owned by the worker's slot, under its mutex.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/engine/task.hpp>

#include "protocol/function_registration.hpp"

namespace procpool::inline v0::parent {

class FunctionTable {
 public:
  struct Place {
    std::size_t slot;
    bool registered;  // the worker knows it already
  };

  // The slot for a task's function, which counts as used and, from now on, as declared.
  Place place(detail::Task const& task);
  // The declaration did not go out.
  void forget(std::size_t slot) { entries_[slot] = Entry{}; }

 private:
  struct Entry {
    detail::Trampoline code = nullptr;
    std::int64_t loaded = 0;
    std::uint64_t task = 0;                      // 0: a callable without state serves every task
    std::weak_ptr<detail::Bytes const> state{};  // of the task's callable: gone with the task
    std::uint64_t used = 0;
  };
  std::array<Entry, protocol::function_slots> entries_{};
  std::uint64_t clock_ = 0;
  std::size_t last_ = 0;
};

}  // namespace procpool::inline v0::parent
