// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Set-uid root, becomes root for good, so that no other user may signal it. Stays as long as there
// is a file of the name that its argument says, and half a minute at most. Status 77: it is not
// root.

#include <poll.h>

#include "common.hpp"

int main(int, char** argv) {
  if (::setresuid(0, 0, 0) != 0) return 77;
  for (int looks = 0; looks < 3'000 && ::access(argv[1], F_OK) == 0; ++looks) {
    ::poll(nullptr, 0, 10);
  }
  return 0;
}
