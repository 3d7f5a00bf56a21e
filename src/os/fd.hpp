// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Descriptors that close themselves, and the rule about their numbers. Each descriptor that this
// layer makes is close-on-exec and has a number of at least 10. So a program that closed its
// standard streams cannot print into a socket of the pool, and dup2 can fill the low numbers of a
// child without destroying the source of its next step. Any thread may call anything here; a
// UniqueFd object belongs to one thread at a time. A crash leaves nothing: the kernel closes
// descriptors.

#include <string>
#include <utility>

namespace procpool::inline v0_1::os {

// The lowest number of a descriptor that this layer makes.
inline constexpr int lowest_descriptor = 10;

class UniqueFd {
 public:
  UniqueFd() noexcept = default;
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  UniqueFd(UniqueFd const&) = delete;
  UniqueFd& operator=(UniqueFd const&) = delete;
  ~UniqueFd() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }

  // Gives the descriptor away; the caller closes it.
  int release() noexcept { return std::exchange(fd_, -1); }

  // Closes what it holds and takes `fd`. Keeps errno, so that it may run on an error path.
  void reset(int fd = -1) noexcept;

 private:
  int fd_ = -1;
};

// Throws std::system_error with the current errno; `what` is a sentence that says what was wanted.
[[noreturn]] void throw_errno(std::string const& what);

// The same with an error number that was kept or chosen.
[[noreturn]] void throw_error(int error, std::string const& what);

// For the end of such a sentence: a guess at the reason if there is no /proc, else nothing. Keeps
// errno. (Entries of this process are read under /proc/thread-self: /proc/self is empty in a
// process whose main thread has ended.)
std::string proc_hint();

// The same open file under a number of at least `lowest_descriptor`, close-on-exec. Throws, with
// the descriptor closed, when there are no numbers left.
UniqueFd above_standard(UniqueFd fd);

// A second descriptor for the same open file, close-on-exec, at least `lowest_descriptor`.
UniqueFd duplicate(int fd);

}  // namespace procpool::inline v0_1::os
