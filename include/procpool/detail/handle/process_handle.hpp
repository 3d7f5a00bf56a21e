// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ProcessHandle: the part of a Process that does not depend on the type of its result. It owns one
// process of the hidden pool in which each worker belongs to one Process.
//
// All members may be called from any thread, except moving, assigning and destroying. If the
// program dies, the kernel ends the process with it, as any worker.

#include <sys/types.h>

#include <memory>
#include <optional>

#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/detail/operations/caller.hpp>

namespace procpool::inline v0_1 {

struct ProcessOptions;

namespace detail {

class PROCPOOL_API ProcessHandle {
 public:
  // Takes a place for the process, and starts nothing. Throws std::invalid_argument for options
  // that make no sense, and SetupError.
  explicit ProcessHandle(ProcessOptions const& options);
  ProcessHandle(ProcessHandle&& other) noexcept;
  ProcessHandle& operator=(ProcessHandle&& other) noexcept;
  ~ProcessHandle();

  // For the one call that the process runs.
  Caller caller() const;
  // The call was given. Blocks until there is a process; throws SetupError if there will be none.
  void start();

  pid_t pid() const;
  bool alive() const;
  bool join_until(std::optional<TimePoint> deadline) const;
  std::optional<int> exit_status() const;
  std::optional<int> exit_signal() const;
  void request_stop();
  void kill();
  void signal(int number);

  // As the destructor of Process. True: the owner has signalled the process, so its end is no news.
  bool end() noexcept;

 private:
  struct State;
  State& state() const;

  std::unique_ptr<State> state_;  // null: moved from, or ended
};

}  // namespace detail
}  // namespace procpool::inline v0_1
