// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A process on a liveness pipe ends with its holder, whatever state it is in, and with nothing
// else.
#include "os/liveness_pipe.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exception>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "os/process.hpp"
#include "support/processes.hpp"
#include "support/until.hpp"

namespace {

namespace os = procpool::os;

// In a process that leads its own group and does not hold the liveness pipe.
template <class Body>
pid_t start(std::optional<os::LivenessPipe>& liveness_pipe, Body body) {
  os::UniqueFd const end = liveness_pipe->end();
  pid_t const pid = ::fork();
  if (pid != 0) {
    ::setpgid(pid, pid);  // whoever is first
    return pid;
  }
  liveness_pipe.reset();
  ::setpgid(0, 0);
  body(end.get());
  ::_exit(1);
}

void hang_on_and_stop(int end) {
  if (!os::hang_on(end)) ::_exit(2);
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  static_cast<void>(::fork());  // one more in the group
  ::raise(SIGSTOP);
}

bool stopped(pid_t pid) { return support::stat_of(pid).state == 'T'; }

int status_of(pid_t pid) {
  int status = -1;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return status;
}

TEST(OsLivenessPipe, EndsGroupsThatAreStopped) {
  std::optional<os::LivenessPipe> liveness_pipe(std::in_place);
  pid_t const one = start(liveness_pipe, hang_on_and_stop);
  pid_t const other = start(liveness_pipe, hang_on_and_stop);
  ASSERT_TRUE(support::until([&] { return stopped(one) && stopped(other); }));
  liveness_pipe.reset();
  for (pid_t const pid : {one, other}) {
    int const status = status_of(pid);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
    EXPECT_TRUE(support::until([&] { return ::kill(-pid, 0) != 0; })) << "its group lives";
  }
}

// The death of one of them cuts nothing, and what it does with its own end concerns nobody else.
TEST(OsLivenessPipe, TheDeathOfOneIsNoMatterOfTheOthers) {
  std::optional<os::LivenessPipe> liveness_pipe(std::in_place);
  pid_t const one = start(liveness_pipe, [](int end) {
    if (!os::hang_on(end)) ::raise(SIGKILL);  // it has been quicker
    for (;;) ::pause();
  });
  pid_t const other = start(liveness_pipe, [](int end) {
    os::hang_on(end);
    static_cast<void>(!::write(end, "x", 1));
    ::close(end);
    ::raise(SIGKILL);
  });
  EXPECT_EQ(WTERMSIG(status_of(other)), SIGKILL);
  EXPECT_TRUE(support::alive(one));
  liveness_pipe.reset();
  EXPECT_EQ(WTERMSIG(status_of(one)), SIGKILL);
}

TEST(OsLivenessPipe, OneThatIsCutAlreadyIsTold) {
  std::optional<os::LivenessPipe> liveness_pipe(std::in_place);
  os::UniqueFd const end = liveness_pipe->end();
  liveness_pipe.reset();
  pid_t const pid = ::fork();
  if (pid == 0) ::_exit(os::hang_on(end.get()) ? 1 : 0);
  EXPECT_EQ(status_of(pid), 0);
}

TEST(OsLivenessPipe, AHolderWithFewerRightsStillGivesEnds) {
  if (::geteuid() != 0) GTEST_SKIP() << "this process has no rights to drop";
  pid_t const pid = ::fork();
  if (pid == 0) {
    os::LivenessPipe const liveness_pipe;
    constexpr uid_t nobody = 65534;
    if (::setresuid(nobody, nobody, nobody) != 0) ::_exit(3);
    try {
      os::UniqueFd const end = liveness_pipe.end();
      std::string const path = "/proc/self/fd/" + std::to_string(end.get());
      ::_exit(::open(path.c_str(), O_WRONLY | O_NONBLOCK) >= 0 ? 2 : 0);
    } catch (std::exception const&) {
      ::_exit(1);
    }
  }
  EXPECT_EQ(status_of(pid), 0);
}

TEST(OsLivenessPipe, WhatIsNoDescriptorIsAnError) {
  EXPECT_THROW(os::hang_on(-1), std::system_error);
}

}  // namespace
