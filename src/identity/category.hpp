#pragma once

// Error categories by their place. A category is told from another by its address, so an error code is
// equal to one of this process only if its category is the object that this process has. Most categories are
// static objects: one that lies in the data of a module becomes (identity of the module, offset).
//
// Threat model: the reference may be nonsense, and what it leads to is going to be called. So an address
// is given only for what must be a category: its vtable and the type in that lie where nobody, not even
// this process, can write, and the type is derived from std::error_category. No module is opened for it.
// What was not constructed here yet, lies on the heap, or is of a module that this process has not, is
// nothing. Any thread.

#include <optional>
#include <system_error>

#include "identity/module.hpp"

namespace procpool::inline v0::identity {

std::optional<CodeRef> locate_category(std::error_category const& category);

// Null: there is none.
std::error_category const* find_category(CodeRef const& ref);

}  // namespace procpool::inline v0::identity
