#pragma once

// A function registration: what a worker must know of a function before chunks can name it by its slot. Sent once to
// each worker, so that neither an identity nor the state of a callable is repeated with every chunk. Any thread.

#include <cstddef>
#include <cstdint>
#include <span>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/engine/task.hpp>

#include "os/wire.hpp"

namespace procpool::inline v0::protocol {

inline constexpr std::size_t function_slots = 64;

// Throws std::runtime_error when the function's code lies in no module.
detail::Bytes encode_registration(detail::Function const& function);

struct FunctionRegistration {
  std::size_t argument_size = 0;
  std::size_t result_size = 0;
  bool returns_nothing = false;
  detail::Trampoline code = nullptr;
  std::span<std::byte const> state;  // in the bytes decoded
};

// In the worker: finds the code. Throws std::runtime_error with a sentence when this process has it
// not.
FunctionRegistration decode_registration(std::span<std::byte const> bytes);

// Would a new worker find the code, and this one cannot, because it has an older build of the module?
bool is_stale_here(std::span<std::byte const> registration) noexcept;

}  // namespace procpool::inline v0::protocol
