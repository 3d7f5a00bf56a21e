// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

#include <cstdint>

namespace procpool::inline v0_1::detail {

// The progress of an element. The report of a death names it.
enum class Stage : std::uint32_t { starting = 0, idle = 1, loading = 2, running = 3, saving = 4 };

}  // namespace procpool::inline v0_1::detail
