// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// A small source tree. Two of its files are traps for the analyser.

#include <string>

#include "folder.hpp"

namespace inputs {

inline void write_source_tree(Folder const& folder) {
  folder.write("src/main.c", "int main(void) {\n  char line[80];\n  gets(line); /* sic */\n}\n");
  folder.write("src/copy.c",
               "void copy(char* to, char* from) {\n  while ((*to++ = (((*from++))))) {\n  }\n}\n");
  folder.write("src/clean.c", "int twice(int x) { return 2 * (x); }\n");
  // A comment without an end.
  folder.write("src/legacy.c", "int old(void);\n/* to be removed\nint older(void);\n");
  // What a generator has written: very deep nesting.
  folder.write("gen/table.c", "int x = " + std::string(1'000'000, '(') + "1;\n");
}

}  // namespace inputs
