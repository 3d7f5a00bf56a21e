#pragma once

// What describe() says of an error, in one line, and without looking for anything: what the dispatcher may
// call. Any thread; nothing is left by a crash.

#include <exception>
#include <string>

namespace procpool::inline v0::detail {

std::string describe_briefly(std::exception_ptr const& error);

}  // namespace procpool::inline v0::detail
