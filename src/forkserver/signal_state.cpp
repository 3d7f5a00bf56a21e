// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "forkserver/signal_state.hpp"

#include <pthread.h>

#include <cstddef>

namespace procpool::inline v0_1::forkserver {

SignalState::SignalState() noexcept {
  for (int signal = 1; signal < NSIG; ++signal) {
    Disposition& one = dispositions_[static_cast<std::size_t>(signal)];
    one.known = ::sigaction(signal, nullptr, &one.action) == 0;
  }
  ::pthread_sigmask(SIG_SETMASK, nullptr, &mask_);
}

// The mask comes last: a signal that was blocked meanwhile meets its disposition of before.
void SignalState::restore() const noexcept {
  for (int signal = 1; signal < NSIG; ++signal) {
    Disposition const& one = dispositions_[static_cast<std::size_t>(signal)];
    if (one.known) ::sigaction(signal, &one.action, nullptr);
  }
  ::pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
}

}  // namespace procpool::inline v0_1::forkserver
