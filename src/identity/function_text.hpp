// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Parts of the demangled name of a function. Values; any thread.

#include <cstddef>
#include <string>
#include <string_view>

namespace procpool::inline v0_1::identity {

// Its qualified name alone, without what it returns, its parameters and template arguments, be they
// its own or of what it lies in: "n::f" of "int n::f<m::T>(std::vector<m::T> const&)",
// "n::C::operator()" of "n::C<int>::operator()(int) const".
std::string qualified_name(std::string_view function);

// No longer than that: of what is nested, the deepest goes first ("f<...>(...)"); what is too long
// even so is cut.
std::string shortened(std::string_view function, std::size_t most);

}  // namespace procpool::inline v0_1::identity
