// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// LiveViewReader: looks at a pool of another process, see protocol/live_view.hpp. Nothing that it reads is trusted.
// One thread. SIGPIPE must be ignored.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "os/fd.hpp"
#include "os/memfd.hpp"
#include "protocol/live_view.hpp"

namespace procpool::inline v0_1::top {

class LiveViewReader {
 public:
  // One for each pool of the process, in the order of their descriptors. Throws std::system_error if the process
  // is gone, or this user may not look into it.
  static std::vector<LiveViewReader> of(pid_t pid);

  // Tells the pool from any other one while it exists.
  std::uint64_t id() const noexcept { return id_; }
  // False: the program has another version of the library.
  bool known() const noexcept { return known_; }
  // Blocks for so long. False: the view is not wanted any more.
  using Wait = std::function<bool(std::chrono::milliseconds)>;
  // Asks for a view. Blocks until it is there, for as long as `patience` at most. Nothing: the pool does not answer,
  // or the view is not wanted.
  std::optional<protocol::LiveView> look(std::chrono::milliseconds patience, Wait const& wait);

 private:
  LiveViewReader(os::Memfd file, os::UniqueFd requests, bool known);

  std::optional<protocol::LiveView> read() const;

  os::Memfd file_;
  os::UniqueFd requests_;
  bool known_;
  std::uint64_t id_;
};

}  // namespace procpool::inline v0_1::top
