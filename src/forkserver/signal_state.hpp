// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// SignalState: the signal mask of a thread and the dispositions of its process, to be restored. A
// preload may change both, and its workers must not inherit that. For one thread. A value without
// descriptors and memory of its own: a forked child restores it too.

#include <signal.h>

#include <array>

namespace procpool::inline v0_1::forkserver {

class SignalState {
 public:
  SignalState() noexcept;  // that of the caller now
  void restore() const noexcept;

 private:
  struct Disposition {
    struct sigaction action{};
    bool known = false;  // false: no program may change it
  };

  std::array<Disposition, NSIG> dispositions_{};
  sigset_t mask_{};
};

}  // namespace procpool::inline v0_1::forkserver
