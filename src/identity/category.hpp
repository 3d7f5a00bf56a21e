// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Error categories by their place. The address of a category is its identity, so an error code
// equals one of this process only if its category is the object in this process. Most categories
// are static objects: a category in the data of a module becomes (identity of the module, offset).
//
// Threat model: the reference may be nonsense, and the object behind it is going to be called. So
// an address is returned only if it must be a category: its vtable and the type in that lie in
// memory that nothing can write, this process included, and the type derives from
// std::error_category. No module is opened for it. A category that is not constructed here yet,
// lies on the heap, or belongs to a module that this process has not loaded, is not found. Any
// thread.

#include <optional>
#include <system_error>

#include "identity/module.hpp"

namespace procpool::inline v0_1::identity {

std::optional<CodeRef> locate_category(std::error_category const& category);

// Null: there is none.
std::error_category const* find_category(CodeRef const& ref);

}  // namespace procpool::inline v0_1::identity
