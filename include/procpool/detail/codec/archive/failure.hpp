// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// How encoding and decoding refuse. Compiled once, out of the way of the fast paths; each of these
// throws SerializationError and leaves nothing behind.

#include <cstddef>

#include <procpool/detail/export.hpp>
#include <procpool/error.hpp>

namespace boost::archive {
class archive_exception;
}

namespace procpool::inline v0_1::detail {

// Levels of values within values. Where the stack ends before, so does the nesting: see Depth.
inline constexpr unsigned nesting_limit = 512;

// Bytes of elements that take no bytes in the message; a count of those costs the sender nothing.
inline constexpr std::size_t weightless_limit = std::size_t{1} << 20;

[[noreturn]] PROCPOOL_API void refuse(char const* sentence);
[[noreturn]] PROCPOOL_API void refuse_truncated();
[[noreturn]] PROCPOOL_API void refuse_length();
[[noreturn]] PROCPOOL_API void refuse_bool();
[[noreturn]] PROCPOOL_API void refuse_nesting();
[[noreturn]] PROCPOOL_API void refuse_stack(unsigned levels);
[[noreturn]] PROCPOOL_API void refuse_weightless();
[[noreturn]] PROCPOOL_API void refuse_second_owner();
[[noreturn]] PROCPOOL_API void refuse_trailing(std::size_t bytes);
[[noreturn]] PROCPOOL_API void refuse_class(char const* what, char const* type_name);
[[noreturn]] PROCPOOL_API void translate(boost::archive::archive_exception const& error);

// Asks for huge pages below a large buffer about to be filled; a refusal only costs speed.
PROCPOOL_API void advise_huge(void* place, std::size_t bytes) noexcept;
inline constexpr std::size_t huge_from = std::size_t{4} << 20;

}  // namespace procpool::inline v0_1::detail
