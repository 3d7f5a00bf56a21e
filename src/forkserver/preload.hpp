// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Preload: the call of StartOptions::preload in the fork server. What it leaves in memory is in each
// worker that is forked later.
//
// On the only thread of the fork server, before the first fork. The call is code of the user: it
// may do anything, and may not come back. The end of the process is its failure then.

#include "os/memfd.hpp"
#include "os/process.hpp"
#include "protocol/fork_messages.hpp"

namespace procpool::inline v0_1::forkserver {

class Preload {
 public:
  // Makes the call, whose registration is in the memory file. A child that the call forks, and that
  // comes back from it, ends here.
  explicit Preload(os::Memfd const& call);

  protocol::PreloadReport const& report() const noexcept { return report_; }
  // By how much the memory of this process has grown.
  os::MemoryUse const& memory() const noexcept { return memory_; }

 private:
  protocol::PreloadReport report_;
  os::MemoryUse memory_;
};

}  // namespace procpool::inline v0_1::forkserver
