// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ExitHandler: the call of the pool's exit handler in one worker. It is the last element that the
// worker gets. For the dispatcher's thread.

#include <cstddef>

#include "parent/internal_call.hpp"

namespace procpool::inline v0_1::parent {

class Core;

class ExitHandler {
 public:
  // Sends the call and asks the worker to leave behind it. If there is no room, the call is due
  // still. A call that cannot be sent is logged and left out.
  void send(Core& core, std::size_t worker);
  bool due() const noexcept { return due_; }
  // Nothing of it is awaited.
  bool done() const { return !due_ && (!call_.sent() || call_.ended()); }
  // Logs that the call failed, or that it had not ended. For a worker that is dead.
  void report(Core const& core, std::size_t worker) const;

 private:
  InternalCall call_;
  bool due_ = false;
};

}  // namespace procpool::inline v0_1::parent
