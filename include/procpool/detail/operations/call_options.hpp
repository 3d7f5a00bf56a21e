// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// CallOptions in the operations: which of them an operation uses, how those of a call and those of
// the pool are merged, and the refusal of unused ones. Any thread.

#include <string_view>

#include <procpool/call_options.hpp>
#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1::detail {

inline constexpr unsigned use_chunk = 1;
inline constexpr unsigned use_window = 2;
inline constexpr unsigned use_slices = 4;
inline constexpr unsigned use_on_error = 8;
inline constexpr unsigned use_progress = 16;
inline constexpr unsigned use_executor = 32;
inline constexpr unsigned use_timeout = 64;
inline constexpr unsigned use_queue_timeout = 128;
inline constexpr unsigned use_retries = 256;
inline constexpr unsigned use_priority = 512;
inline constexpr unsigned use_key = 1024;
inline constexpr unsigned use_when_full = 2048;
inline constexpr unsigned use_stream = 4096;
inline constexpr unsigned use_deadline = 8192;
inline constexpr unsigned use_stop = 16384;
inline constexpr unsigned use_label = 32768;
// Every operation uses these.
inline constexpr unsigned use_always = use_timeout | use_queue_timeout | use_retries |
                                       use_priority | use_key | use_stream | use_deadline |
                                       use_stop | use_label;

// Throws std::invalid_argument for values that make no sense.
PROCPOOL_API void check_options(CallOptions const& options);

PROCPOOL_API CallOptions merge_options(CallOptions const& defaults, CallOptions const& given);

// Throws std::invalid_argument that names the first option given and not used.
PROCPOOL_API void refuse_unused(CallOptions const& given, unsigned used,
                                std::string_view operation);

}  // namespace procpool::inline v0_1::detail
