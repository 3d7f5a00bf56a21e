// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// A type's name as people write it.

#include <string>
#include <typeinfo>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1::detail {

PROCPOOL_API std::string type_name(std::type_info const& type);

}  // namespace procpool::inline v0_1::detail
