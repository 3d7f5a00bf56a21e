#pragma once

// in_child: what became of a use of the program's pools in a forked child.

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

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
    } catch (...) {
      ::_exit('o');
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? static_cast<char>(WEXITSTATUS(status)) : 'h';
}

}  // namespace support
