// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A plug-in with a bug: a character that has no digit is a null pointer.

#include <cstring>

#include "plugin.hpp"

void transform(char* text, std::size_t size) {
  static char const* const shapes = "oizeasgtb ";
  for (std::size_t i = 0; i < size; ++i) {
    char const* const shape = std::strchr(shapes, text[i]);
    if (*shape != ' ') text[i] = static_cast<char>('0' + (shape - shapes));
  }
}
