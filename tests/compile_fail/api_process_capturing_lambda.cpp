// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: this callable has captures
#include <procpool.hpp>
void use(int n) {
  procpool::Process process{[n] { return n; }};
}
