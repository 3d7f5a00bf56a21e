// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// A CodeRef as bytes. Pure; any thread.

#include <procpool/detail/engine/bytes.hpp>

#include "identity/module.hpp"
#include "os/wire.hpp"

namespace procpool::inline v0_1::identity {

void write(os::WireWriter<detail::Bytes>& writer, CodeRef const& ref);

// Throws std::runtime_error when the bytes are none.
CodeRef read_code_ref(os::WireReader& reader);

}  // namespace procpool::inline v0_1::identity
