// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// A function registration makes a function known to a worker, so that chunks can name it by its
// slot. It is sent once to each worker: neither the identity nor the state of a callable is
// repeated with every chunk. Any thread.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/engine/task.hpp>

#include "os/wire.hpp"

namespace procpool::inline v0_1::protocol {

inline constexpr std::size_t function_slots = 64;

// Throws std::runtime_error when the function's code lies in no module.
// `label`: of its calls, or empty.
detail::Bytes encode_registration(detail::Function const& function, std::string_view label = {});

struct FunctionRegistration {
  std::size_t argument_size = 0;
  std::size_t result_size = 0;
  bool returns_nothing = false;
  std::string label;
  detail::Trampoline code = nullptr;
  std::span<std::byte const> state;  // in the bytes decoded
};

// In the worker: finds the code. Throws std::runtime_error with a sentence if this process lacks
// it.
FunctionRegistration decode_registration(std::span<std::byte const> bytes);

// A new worker would find the code. This one has an older build of the module.
bool is_stale_here(std::span<std::byte const> registration) noexcept;

}  // namespace procpool::inline v0_1::protocol
