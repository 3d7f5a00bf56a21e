// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The key functions of the error roots: one vtable and one type_info per program.

#include <procpool/error.hpp>

namespace procpool::inline v0_1 {

Error::~Error() = default;
SerializationError::~SerializationError() = default;

}  // namespace procpool::inline v0_1
