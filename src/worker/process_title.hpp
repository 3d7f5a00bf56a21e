// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ProcessTitle: the text that `ps` and `top` show for a worker: the name of the pool, the index of
// the worker, and the function that runs. It lies in an argument in which the parent left room, so
// a change needs no system call. The worker's loop only. A concurrent reader may see half of a
// change.

#include <string>
#include <string_view>

namespace procpool::inline v0_1::worker {

// The room that the parent adds to the argument that names the worker.
std::string title_space();

class ProcessTitle {
 public:
  // `argument` is null, or the parent's argument: the name and the room.
  explicit ProcessTitle(char* argument) noexcept;
  // The argument has another name, no shorter than this one, which replaces it.
  ProcessTitle(char* argument, std::string const& name) noexcept;

  // Empty: idle.
  void show(std::string_view what) noexcept;

  // The kernel's name of the process: "POOL/ROLE", or "POOL" without a role. The pool's name is cut
  // so that it has 15 bytes.
  static void name_process(std::string const& pool, std::string const& role) noexcept;

 private:
  char* begin_ = nullptr;
  std::size_t room_ = 0;
};

// The name of a function as a user would write it, from the name of its callable's type.
std::string short_name(std::string_view callable_type);

}  // namespace procpool::inline v0_1::worker
