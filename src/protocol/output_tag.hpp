// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The tag ahead of an element's output in a worker's pipe: a random token of the parent, and the
// element's serial.

#include <cstddef>
#include <cstdint>

namespace procpool::inline v0_1::protocol {

inline constexpr std::size_t output_token_bytes = 16;
inline constexpr std::size_t output_tag_bytes = output_token_bytes + sizeof(std::uint64_t);

}  // namespace procpool::inline v0_1::protocol
