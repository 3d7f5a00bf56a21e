// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The system lacks or forbids a call that workers need. The error says which call, and what works
// without it.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <procpool.hpp>
#include <string>

#include "support/start.hpp"
#include "support/tasks.hpp"

namespace {

using tasks::square;

// From here on, for this process and its threads.
bool refuse_call(long call, int error) {
  std::array filter{
      sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog const program{static_cast<unsigned short>(filter.size()), filter.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// The text of a pool with workers, and then of a pool within the program.
std::string told_without(long call, int error, procpool::Start start) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return "no pipe";
  pid_t const child = ::fork();
  if (child == 0) {
    std::string text = "skipped";
    if (refuse_call(call, error)) {
      try {
        procpool::ProcessPool pool{{.workers = 1, .start = {.method = start}}};
        text = "it worked: " + std::to_string(pool.call<square>(3));
      } catch (procpool::SetupError const& setup) {
        text = setup.what();
      } catch (std::exception const& other) {
        text = std::string("another error: ") + other.what();
      }
      procpool::ProcessPool within{{.start = {.method = procpool::Start::in_process}}};
      text += "; within: " + std::to_string(within.call<square>(3));
    }
    static_cast<void>(!::write(pipe[1], text.data(), text.size()));
    ::_exit(0);
  }
  ::close(pipe[1]);
  std::string told;
  std::array<char, 4096> buffer{};
  for (ssize_t got = 0; (got = ::read(pipe[0], buffer.data(), buffer.size())) > 0;) {
    told.append(buffer.data(), static_cast<std::size_t>(got));
  }
  ::close(pipe[0]);
  ::waitpid(child, nullptr, 0);
  return told;
}

class OldKernel : public ::testing::TestWithParam<procpool::Start> {};

TEST_P(OldKernel, WithoutPidfdIsToldAndWhatWorksThere) {
  std::string const told = told_without(SYS_pidfd_open, ENOSYS, GetParam());
  if (told == "skipped") GTEST_SKIP() << "no system calls can be refused here";
  for (char const* part : {"cannot start workers", "pidfd_open", "missing here", "Linux 5.4",
                           "Start::in_process", "within: 9"}) {
    EXPECT_NE(told.find(part), std::string::npos) << part << " is not in: " << told;
  }
}

TEST_P(OldKernel, ThatForbidsPidfdIsToldToo) {
  std::string const told = told_without(SYS_pidfd_open, EPERM, GetParam());
  if (told == "skipped") GTEST_SKIP() << "no system calls can be refused here";
  for (char const* part : {"cannot start workers", "pidfd_open", "forbidden here"}) {
    EXPECT_NE(told.find(part), std::string::npos) << part << " is not in: " << told;
  }
}

INSTANTIATE_TEST_SUITE_P(BothStarts, OldKernel,
                         ::testing::Values(procpool::Start::spawn, procpool::Start::forkserver),
                         support::start_name);

}  // namespace
