// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The largest number for each option that is a number, and the check of such an option. Pure.

#include <cstddef>
#include <string_view>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1 {

class Count;

namespace detail {

inline constexpr std::size_t max_workers = 4096;
inline constexpr std::size_t max_chunk = std::size_t{1} << 20;
inline constexpr std::size_t max_window = std::size_t{1} << 30;
inline constexpr std::size_t max_slices = std::size_t{1} << 30;
inline constexpr std::size_t max_retries = 1'000'000;
inline constexpr std::size_t max_queue_limit = std::size_t{1} << 40;
inline constexpr std::size_t max_nesting = 64;
inline constexpr std::size_t max_output = std::size_t{1} << 30;
inline constexpr std::size_t max_tasks = std::size_t{1} << 40;

// The number if it lies in [least, most]. Otherwise throws std::invalid_argument that names `what`.
PROCPOOL_API std::size_t checked(Count const& count, std::string_view what, std::size_t most,
                                 std::size_t least = 1);

}  // namespace detail
}  // namespace procpool::inline v0_1
