// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// How children end, and that nobody else is hurt by it.
#include "os/process.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <system_error>
#include <thread>

#include "support/processes.hpp"
#include "support/until.hpp"

namespace {

namespace os = procpool::os;
using namespace std::chrono_literals;

struct Subject {
  pid_t pid;
  os::UniqueFd pidfd;
};

// A forked child that leads its own group and runs `body`, which must not return to gtest.
template <class Body>
Subject start(Body body) {
  pid_t const pid = ::fork();
  if (pid == 0) {
    ::setpgid(0, 0);
    body();
    ::_exit(111);
  }
  ::setpgid(pid, pid);  // whoever is first
  return {pid, os::open_pidfd(pid)};
}

// Runs `body` in a process with signal and wait habits of its own, and returns its exit status.
template <class Body>
int elsewhere(Body body) {
  pid_t const pid = ::fork();
  if (pid == 0) {
    try {
      ::_exit(body());
    } catch (std::exception const& e) {
      std::fprintf(stderr, "%s\n", e.what());
      ::_exit(99);
    }
  }
  int status = -1;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool wait_for_end(int pidfd) {
  pollfd one{pidfd, POLLIN, 0};
  while (::poll(&one, 1, 20'000) < 0 && errno == EINTR) {
  }
  return os::exited(pidfd);
}

bool kernel_at_least(int major, int minor) {
  utsname name{};
  int a = 0;
  int b = 0;
  ::uname(&name);
  if (std::sscanf(name.release, "%d.%d", &a, &b) != 2) return false;
  return a > major || (a == major && b >= minor);
}

TEST(OsProcess, TellsAStatus) {
  Subject const child = start([] { ::_exit(42); });
  EXPECT_GE(child.pidfd.get(), 10);
  ASSERT_TRUE(wait_for_end(child.pidfd.get()));
  os::Exit const end = os::reap(child.pidfd.get(), child.pid);
  EXPECT_EQ(end.kind, os::Exit::Kind::exited);
  EXPECT_EQ(end.code, 42);
  EXPECT_EQ(::waitpid(child.pid, nullptr, WNOHANG), -1) << "no zombie may stay";
  EXPECT_EQ(errno, ECHILD);
  EXPECT_TRUE(os::exited(child.pidfd.get())) << "also after it was reaped";
  EXPECT_FALSE(os::send_signal(child.pidfd.get(), SIGTERM));
  EXPECT_FALSE(os::signal_group(child.pidfd.get(), child.pid, SIGTERM));
  EXPECT_THROW(os::open_pidfd(child.pid), std::system_error);
}

TEST(OsProcess, TellsASignal) {
  Subject const child = start([] {
    for (;;) ::pause();
  });
  EXPECT_FALSE(os::exited(child.pidfd.get()));
  EXPECT_TRUE(os::send_signal(child.pidfd.get(), SIGSTOP));
  EXPECT_FALSE(os::exited(child.pidfd.get())) << "stopped is not ended";
  EXPECT_TRUE(os::send_signal(child.pidfd.get(), SIGKILL)) << "kills stopped ones too";
  ASSERT_TRUE(wait_for_end(child.pidfd.get()));
  os::Exit const end = os::reap(child.pidfd.get(), child.pid);
  EXPECT_EQ(end.kind, os::Exit::Kind::signalled);
  EXPECT_EQ(end.code, SIGKILL);
}

TEST(OsProcess, TellsTheStateOfAThread) {
  Subject const child = start([] {
    for (;;) ::pause();
  });
  EXPECT_TRUE(support::until([&] { return os::thread_state(child.pid) == 'S'; }));
  ::kill(child.pid, SIGSTOP);
  EXPECT_TRUE(support::until([&] { return os::thread_state(child.pid) == 'T'; }));
  ::kill(child.pid, SIGKILL);
  EXPECT_TRUE(support::until([&] { return os::thread_state(child.pid) == 'Z'; }));
  os::reap(child.pidfd.get(), child.pid);
  EXPECT_EQ(os::thread_state(child.pid), '\0');
}

TEST(OsProcess, TellsACrash) {
  Subject const child = start([] {
    rlimit const none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    ::signal(SIGSEGV, SIG_DFL);
    ::raise(SIGSEGV);
  });
  ASSERT_TRUE(wait_for_end(child.pidfd.get()));
  os::Exit const end = os::reap(child.pidfd.get(), child.pid);
  EXPECT_EQ(end.kind, os::Exit::Kind::signalled);
  EXPECT_EQ(end.code, SIGSEGV);
}

TEST(OsProcess, TheGroupEndsWithItsLeader) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  Subject const child = start([&] {
    pid_t const grandchild = ::fork();
    if (grandchild == 0) {
      ::signal(SIGTERM, SIG_IGN);
      for (;;) ::pause();
    }
    (void)!::write(ends[1], &grandchild, sizeof grandchild);
    ::_exit(7);
  });
  pid_t grandchild = -1;
  ASSERT_EQ(::read(ends[0], &grandchild, sizeof grandchild),
            static_cast<ssize_t>(sizeof grandchild));
  os::UniqueFd const watched = os::open_pidfd(grandchild);
  ASSERT_TRUE(wait_for_end(child.pidfd.get()));
  EXPECT_FALSE(os::exited(watched.get()));
  os::Exit const end = os::reap(child.pidfd.get(), child.pid);
  EXPECT_EQ(end.kind, os::Exit::Kind::exited);
  EXPECT_EQ(end.code, 7);
  EXPECT_TRUE(wait_for_end(watched.get())) << "the grandchild lives on";
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(OsProcess, ALivingGroupCanBeSignalled) {
  Subject const child = start([] {
    for (;;) ::pause();
  });
  EXPECT_TRUE(os::signal_group(child.pidfd.get(), child.pid, SIGKILL));
  ASSERT_TRUE(wait_for_end(child.pidfd.get()));
  EXPECT_EQ(os::reap(child.pidfd.get(), child.pid).code, SIGKILL);
}

TEST(OsProcess, AHostThatIgnoresSigchldCostsAtMostTheStatus) {
  int const result = elsewhere([] {
    ::signal(SIGCHLD, SIG_IGN);
    int ends[2];
    if (::pipe(ends) != 0) return 1;
    Subject const child = start([&] {
      char go = 0;
      (void)!::read(ends[0], &go, 1);
      ::_exit(9);
    });
    (void)!::write(ends[1], "x", 1);
    if (!wait_for_end(child.pidfd.get())) return 2;
    os::Exit const end = os::reap(child.pidfd.get(), child.pid);
    if (kernel_at_least(6, 15)) {
      return end.kind == os::Exit::Kind::exited && end.code == 9 ? 0 : 3;
    }
    return end.kind == os::Exit::Kind::unknown && end.code == 0 ? 0 : 4;
  });
  EXPECT_EQ(result, 0);
}

TEST(OsProcess, AHostThatWaitsForAnyChildCostsAtMostTheStatus) {
  int const result = elsewhere([] {
    Subject const child = start([] {
      ::signal(SIGTERM, SIG_DFL);
      for (;;) ::pause();
    });
    os::send_signal(child.pidfd.get(), SIGTERM);
    if (::waitpid(-1, nullptr, 0) != child.pid) return 1;
    os::Exit const end = os::reap(child.pidfd.get(), child.pid);
    if (kernel_at_least(6, 15)) {
      return end.kind == os::Exit::Kind::signalled && end.code == SIGTERM ? 0 : 3;
    }
    return end.kind == os::Exit::Kind::unknown ? 0 : 4;
  });
  EXPECT_EQ(result, 0);
}

TEST(OsProcess, AReapedLeadersGroupStillEnds) {
  if (!kernel_at_least(6, 9)) GTEST_SKIP() << "needs signals to groups through a pidfd";
  int const result = elsewhere([] {
    int ends[2];
    if (::pipe(ends) != 0) return 1;
    Subject const child = start([&] {
      pid_t const grandchild = ::fork();
      if (grandchild == 0) {
        for (;;) ::pause();
      }
      (void)!::write(ends[1], &grandchild, sizeof grandchild);
      ::_exit(0);
    });
    pid_t grandchild = -1;
    if (::read(ends[0], &grandchild, sizeof grandchild) != sizeof grandchild) return 2;
    os::UniqueFd const watched = os::open_pidfd(grandchild);
    ::waitpid(child.pid, nullptr, 0);
    os::reap(child.pidfd.get(), child.pid);
    return wait_for_end(watched.get()) ? 0 : 3;
  });
  EXPECT_EQ(result, 0);
}

TEST(OsProcess, OtherChildrenAreLeftAlone) {
  Subject const child = start([] { ::_exit(1); });
  pid_t const stranger = ::fork();
  if (stranger == 0) ::_exit(5);
  ASSERT_TRUE(wait_for_end(child.pidfd.get()));
  os::reap(child.pidfd.get(), child.pid);
  int status = 0;
  EXPECT_EQ(::waitpid(stranger, &status, 0), stranger);
  EXPECT_EQ(WEXITSTATUS(status), 5);
}

TEST(OsProcess, AChildThatIsNoLeaderCostsItsGroupNothing) {
  pid_t const pid = ::fork();
  if (pid == 0) ::_exit(3);
  os::UniqueFd const pidfd = os::open_pidfd(pid);
  ASSERT_TRUE(wait_for_end(pidfd.get()));
  EXPECT_EQ(os::reap(pidfd.get(), pid).code, 3);  // and this program is still alive
}

TEST(OsProcess, ReapingTheLivingComesBack) {
  Subject const child = start([] {
    for (;;) ::pause();
  });
  // Called too early, against the contract: the group is ended, and nothing hangs.
  auto const begin = std::chrono::steady_clock::now();
  os::reap(child.pidfd.get(), child.pid);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  int status = 0;
  ::waitpid(child.pid, &status, 0);
}

TEST(OsProcess, MistakesAreErrors) {
  EXPECT_THROW(os::exited(1 << 28), std::system_error);
  EXPECT_THROW(os::send_signal(1 << 28, SIGTERM), std::system_error);
  Subject const child = start([] { ::_exit(0); });
  EXPECT_THROW(os::send_signal(child.pidfd.get(), 12345), std::system_error);
  wait_for_end(child.pidfd.get());
  os::reap(child.pidfd.get(), child.pid);
}

TEST(OsProcess, CountsItsThreads) {
  std::thread([] {}).join();  // a sanitizer begins one of its own with the first
  std::size_t const before = os::thread_count();
  ASSERT_GE(before, 1u);
  std::jthread const other([](std::stop_token stop) {
    while (!stop.stop_requested()) std::this_thread::sleep_for(1ms);
  });
  EXPECT_EQ(os::thread_count(), before + 1);
}

TEST(OsProcess, KnowsWhenAProcessBegan) {
  auto const own = os::start_time(::getpid());
  EXPECT_NE(own, 0u);
  EXPECT_EQ(os::start_time(::getpid()), own);
  std::this_thread::sleep_for(50ms);  // some ticks later
  Subject const child = start([] {
    for (;;) ::pause();
  });
  EXPECT_GT(os::start_time(child.pid), own);
  ::kill(child.pid, SIGKILL);
  ASSERT_TRUE(wait_for_end(child.pidfd.get()));
  EXPECT_EQ(os::start_time(child.pid), 0u);  // not yet reaped
  os::reap(child.pidfd.get(), child.pid);
  EXPECT_EQ(os::start_time(child.pid), 0u);
}

// Its main thread has ended: to the system it is a zombie then, and lives.
TEST(OsProcess, ThatHasNoMainThreadAnyMoreHasItsTime) {
  std::array<int, 2> held{};
  ASSERT_EQ(::pipe2(held.data(), O_CLOEXEC), 0);
  pid_t const child = ::fork();
  if (child == 0) {
    ::close(held[1]);
    std::thread([end = held[0]] {
      char nothing = 0;
      static_cast<void>(!::read(end, &nothing, 1));
      ::_exit(0);
    }).detach();
    ::syscall(SYS_exit, 0);  // of this thread alone
  }
  ::close(held[0]);
  os::UniqueFd const pidfd = os::open_pidfd(child);
  std::uint64_t const begun = os::start_time(child);
  EXPECT_GT(begun, 0u);
  ASSERT_TRUE(support::until([&] { return support::stat_of(child).state == 'Z'; }, 20s));
  EXPECT_EQ(os::start_time(child), begun);
  EXPECT_FALSE(os::exited(pidfd.get()));
  ::close(held[1]);
  ASSERT_TRUE(support::until([&] { return os::exited(pidfd.get()); }, 20s));
  EXPECT_EQ(os::start_time(child), 0u);
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
}

// The way of a worker whose fork server has died, in a container whose first process reaps nobody.
void expect_end_of_a_foreign_zombie(void (*end)(), os::Exit::Kind kind, int code) {
  std::array<int, 2> channel{};
  ASSERT_EQ(::pipe2(channel.data(), O_CLOEXEC), 0);
  Subject const parent = start([&] {
    pid_t const child = ::fork();
    if (child == 0) {
      end();
      ::_exit(112);
    }
    static_cast<void>(::write(channel[1], &child, sizeof child));
    for (;;) ::pause();  // and never reaps it
  });
  pid_t child = 0;
  ASSERT_EQ(::read(channel[0], &child, sizeof child), static_cast<ssize_t>(sizeof child));
  os::UniqueFd const pidfd = os::open_pidfd(child);
  pollfd one{pidfd.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&one, 1, 10'000), 1);
  os::Exit const exit = os::reap(pidfd.get(), child);
  EXPECT_EQ(exit.kind, kind);
  EXPECT_EQ(exit.code, code);
  ::kill(parent.pid, SIGKILL);
  os::reap(parent.pidfd.get(), parent.pid);
  for (int const fd : channel) ::close(fd);
}

TEST(OsProcess, TheEndOfAZombieOfAnotherParentIsKnown) {
  expect_end_of_a_foreign_zombie([] { ::raise(SIGKILL); }, os::Exit::Kind::signalled, SIGKILL);
  expect_end_of_a_foreign_zombie([] { ::_exit(7); }, os::Exit::Kind::exited, 7);
}

}  // namespace
