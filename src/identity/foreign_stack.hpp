// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ForeignStack: the places of the code that another process of this program was running, with names
// from the modules of this process. The other process may be dead, and its words are not believed.
// A module is known only if it is mapped here too, with the kernel's name for its file, and is
// opened by the path that this process has. Any thread; no lock is taken that user code could hold.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <procpool/errors.hpp>

namespace procpool::inline v0_1::identity {

struct ForeignStack {
  struct Module {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::string path;
  };
  static constexpr std::size_t no_module = static_cast<std::size_t>(-1);
  struct Frame {
    std::size_t module = no_module;  // index
    std::uint64_t where = 0;         // offset in its file; without one, the address
  };

  std::vector<Module> modules;
  std::vector<Frame> frames;

  std::vector<StackFrame> named() const;
};

}  // namespace procpool::inline v0_1::identity
