// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The version of the binary interface between user code and the compiled library. Code of these
// headers is compiled into user code: Run is the worker's half of the claim protocol. Operation,
// ExceptionOperation and Function cross the border as they lie in memory.
//
// User code that was compiled against another version does not link. If the library is shared and
// was replaced, the dynamic linker refuses the program at its start.

#include <cstdint>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1::detail {

// Raised with every change of Run, Operation, ExceptionOperation, Function, or of the words that a run
// stores to.
inline constexpr unsigned interface_version = 2;

template <unsigned version>
struct InterfaceVersion {};

// The load time of the calling module, in nanoseconds. The library defines it for its own version
// alone. Each module calls it while it is loaded.
PROCPOOL_API std::int64_t module_load_time(InterfaceVersion<interface_version>) noexcept;

}  // namespace procpool::inline v0_1::detail
