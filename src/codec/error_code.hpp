// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Error codes of exceptions as bytes. The reader takes any bytes: a category that is none of this
// process becomes one that has the name. Any thread.

#include <system_error>

#include <procpool/detail/engine/bytes.hpp>

#include "os/wire.hpp"

namespace procpool::inline v0_1::detail {

void write_code(os::WireWriter<Bytes>& writer, std::error_code const& code);

// No code if the bytes are too few. Throws std::runtime_error if a reference to a category is
// malformed.
std::error_code read_code(os::WireReader& reader);

}  // namespace procpool::inline v0_1::detail
