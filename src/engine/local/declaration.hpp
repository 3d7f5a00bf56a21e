#pragma once

// A declaration: what a worker must know of a function before chunks can name it by its slot in the
// function table. Travels once per worker, so that neither an identity nor the state of a callable is
// repeated with every chunk.
//
// FunctionTable is the parent's half: which function lies in which slot of one worker. The parent alone
// decides, and evicts one whose task is gone, or the least recently used; a declaration for a slot replaces what was there. Owned
// by the worker's slot, under its mutex.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include <procpool/detail/bytes.hpp>
#include <procpool/detail/task.hpp>

#include "os/wire.hpp"

namespace procpool::inline v0::local {

inline constexpr std::size_t function_slots = 64;

// Throws std::runtime_error when the function's code lies in no module.
detail::Bytes encode_declaration(detail::Function const& function);

struct Declaration {
  std::size_t argument_size = 0;
  std::size_t result_size = 0;
  bool returns_nothing = false;
  detail::Trampoline code = nullptr;
  std::span<std::byte const> state;  // in the bytes decoded
};

// In the worker: finds the code. Throws std::runtime_error with a sentence when this process has it
// not.
Declaration decode_declaration(std::span<std::byte const> bytes);

// Would a new worker find the code, and this one cannot, because it has an older build of the module?
bool is_stale_here(std::span<std::byte const> declaration) noexcept;

class FunctionTable {
 public:
  struct Place {
    std::size_t slot;
    bool declared;  // the worker knows it already
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
  std::array<Entry, function_slots> entries_{};
  std::uint64_t clock_ = 0;
  std::size_t last_ = 0;
};

}  // namespace procpool::inline v0::local
