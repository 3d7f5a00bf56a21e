// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The watchdog of a worker sees the end of its parent in each of two ways by itself: by the parent's pidfd
// if another process holds a copy of its control socket, and by the socket if the parent lives on.

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <stdexcept>
#include <utility>

#include "os/fd.hpp"
#include "os/process.hpp"
#include "os/socket.hpp"
#include "support/processes.hpp"
#include "worker/parent_watchdog.hpp"

namespace procpool::steps {
namespace {

constexpr int hard_limit_ms = 20'000;

// A pipe whose reading end hangs up when the last process with the writing end is gone.
std::pair<os::UniqueFd, os::UniqueFd> hang_up_pipe() {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) throw std::runtime_error("no pipe to be had");
  return {os::UniqueFd(ends[0]), os::UniqueFd(ends[1])};
}

bool ends(os::UniqueFd const& line) {
  pollfd gone{line.get(), 0, 0};
  return ::poll(&gone, 1, hard_limit_ms) == 1;
}

[[noreturn]] void watch(worker::Parent const& parent, os::UniqueFd const& pidfd,
                        os::UniqueFd const& control) {
  ::setpgid(0, 0);
  worker::watch_parent(parent, pidfd.get(), control.get(), -1, -1);
  for (;;) ::pause();
}

TEST(Watch, SeesTheParentsEndThoughItsSocketIsHeldElsewhere) {
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  auto [ours, theirs] = os::socket_pair();  // ours stays open here
  auto [line, held] = hang_up_pipe();
  auto [started, told] = hang_up_pipe();
  pid_t const parent = ::fork();
  if (parent == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // if the test is ended
    os::UniqueFd const self = os::open_pidfd(::getpid());
    // As if the fork server had forked it: no death signal comes.
    worker::Parent const me{::getpid(), os::start_time(::getpid()), false};
    pid_t const worker = ::fork();
    if (worker == 0) watch(me, self, theirs);
    static_cast<void>(!::write(told.get(), &worker, sizeof worker));
    for (;;) ::pause();
  }
  theirs.reset();
  held.reset();
  pid_t worker = 0;
  ASSERT_EQ(::read(started.get(), &worker, sizeof worker), static_cast<ssize_t>(sizeof worker));
  ::kill(parent, SIGKILL);
  EXPECT_EQ(::waitpid(parent, nullptr, 0), parent);
  EXPECT_TRUE(ends(line)) << "it has outlived its parent";
  ::kill(worker, SIGKILL);  // not reaped yet, so it is this one
  EXPECT_EQ(::waitpid(worker, nullptr, 0), worker);
}

TEST(Watch, SeesThatTheParentHasNoUseForItThoughThatLives) {
  auto [ours, theirs] = os::socket_pair();
  auto [line, held] = hang_up_pipe();
  worker::Parent const me{::getpid(), os::start_time(::getpid()), true};
  os::UniqueFd const self = os::open_pidfd(::getpid());
  pid_t const worker = ::fork();
  if (worker == 0) {
    ours.reset();
    watch(me, self, theirs);
  }
  theirs.reset();
  held.reset();
  ours.reset();
  EXPECT_TRUE(ends(line)) << "it lives, and nobody can reach it";
  ::kill(worker, SIGKILL);
  EXPECT_EQ(::waitpid(worker, nullptr, 0), worker);
}

}  // namespace
}  // namespace procpool::steps
