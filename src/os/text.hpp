// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Texts that workers chose, made fit for a terminal and a log: cut to a length, and without
// characters that must not be printed. Pure; any thread.

#include <cstddef>
#include <string>
#include <string_view>

namespace procpool::inline v0_1::os {

// The text, or as much of its beginning as fits into `most` bytes with a note of how long it was.
// Never cut inside a character of UTF-8.
std::string cut(std::string_view text, std::size_t most);

// Everything in one line: control characters (C0, C1, those that change the direction of writing,
// line and paragraph separators) and bytes that are no UTF-8 become '?', tabs and ends of lines
// blanks.
std::string one_line(std::string_view text);

// The same between quotation marks, as JSON, C and Prometheus write it: quotation marks and backslashes
// have a backslash before them.
std::string quoted(std::string_view text);

// As one_line(), but ends of lines and tabs stay.
std::string clean_lines(std::string_view text);

}  // namespace procpool::inline v0_1::os
