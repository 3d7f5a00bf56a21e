// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// How much room a text takes in a terminal. Any thread.

#include <cstddef>
#include <string>
#include <string_view>

namespace procpool::inline v0_1::top {

// As many characters of a text in UTF-8 as a terminal shows in so many columns. Wide ones take two, and those that
// are put over others none. Without a locale that knows this, each takes one.
std::string fit(std::string_view text, std::size_t columns);

}  // namespace procpool::inline v0_1::top
