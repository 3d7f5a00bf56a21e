// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A plug-in as it should be.

#include <cctype>

#include "plugin.hpp"

void transform(char* text, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    text[i] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[i])));
  }
}
