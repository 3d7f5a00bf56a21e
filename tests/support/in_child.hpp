// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// in_child: what became of something in a forked child, which has the program's pools too.

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <functional>
#include <procpool/errors.hpp>

namespace support {

// 'S' SetupError, 'v' it went well, 'o' another error, 'h' it hung or crashed.
inline char in_child(std::function<void()> const& use) {
  pid_t const child = ::fork();
  if (child == 0) {
    ::alarm(10);
    try {
      use();
      ::_exit('v');
    } catch (procpool::SetupError const&) {
      ::_exit('S');
    } catch (std::exception const& error) {
      std::fprintf(stderr, "in a child: %s\n", error.what());
      ::_exit('o');
    } catch (...) {
      ::_exit('o');
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? static_cast<char>(WEXITSTATUS(status)) : 'h';
}

}  // namespace support
