// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The text of describe() for an error, in one line. It looks nothing up, so that the dispatcher may
// call it. Any thread; a crash leaves nothing.

#include <exception>
#include <string>

namespace procpool::inline v0_1::detail {

std::string describe_briefly(std::exception_ptr const& error);

}  // namespace procpool::inline v0_1::detail
