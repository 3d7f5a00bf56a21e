// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Writing to a descriptor that other processes may hold as well, such as standard output, without
// waiting for its reader. The descriptor stays as it is: O_NONBLOCK would concern all its holders.
// Any thread; nothing is kept.

#include <cstddef>
#include <string_view>

namespace procpool::inline v0_1::os {

// Writes as much of the text as can be written at once, and returns how many bytes. Text that
// nobody can ever read, because the descriptor or its reader is gone, counts as written. The
// thread must have SIGPIPE blocked.
std::size_t write_now(int fd, std::string_view text) noexcept;

}  // namespace procpool::inline v0_1::os
