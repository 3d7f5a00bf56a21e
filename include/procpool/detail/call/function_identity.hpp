// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The identity of code as bytes: (build-id of its module, offset), which names the same code in
// another execution of the same program. For the callables that are run-time function pointers. Any
// thread.

#include <cstddef>
#include <span>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1::detail {

// Appends. Throws std::runtime_error when the address lies in no module.
PROCPOOL_API void encode_code(Bytes& out, void const* code);

// Takes its bytes off the front of `in`. Throws std::runtime_error when this process has not that
// code.
PROCPOOL_API void* decode_code(std::span<std::byte const>& in);

}  // namespace procpool::inline v0_1::detail
