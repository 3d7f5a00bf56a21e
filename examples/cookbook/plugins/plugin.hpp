// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// What the host and its plug-ins agree on: a plug-in changes the text in place.

#include <cstddef>

extern "C" {
using Transform = void(char* text, std::size_t size);
Transform transform;  // NOLINT(readability-redundant-declaration)
}
