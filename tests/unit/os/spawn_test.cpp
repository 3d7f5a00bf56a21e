// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What a spawned child gets, and what it must not get. The children are /bin/sleep and /bin/sh.
#include "os/spawn.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <set>
#include <span>
#include <string>
#include <system_error>
#include <thread>

#include "os/process.hpp"
#include "os/socket.hpp"

namespace {

namespace os = procpool::os;
namespace fs = std::filesystem;
using namespace std::chrono_literals;

os::UniqueFd open_program(char const* path) {
  os::UniqueFd fd = os::above_standard(os::UniqueFd(::open(path, O_RDONLY | O_CLOEXEC)));
  return fd;
}

std::set<int> descriptors_of(pid_t pid) {
  std::set<int> found;
  std::error_code gone;
  auto const folder = "/proc/" + std::to_string(pid) + "/fd";
  for (auto it = fs::directory_iterator(folder, gone); !gone && it != fs::directory_iterator();
       it.increment(gone)) {
    found.insert(std::stoi(it->path().filename()));
  }
  return found;
}

std::string status_line(pid_t pid, std::string const& name) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(name + ":")) continue;
    return line.substr(line.find_first_not_of(" \t", name.size() + 1));
  }
  return "";
}

std::string link_of(pid_t pid, int fd) {
  std::error_code error;
  return fs::read_symlink("/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd), error);
}

// The program's loader opens and closes files at first; what counts is what stays.
bool settles_on(pid_t pid, std::set<int> const& wanted) {
  auto const end = std::chrono::steady_clock::now() + 10s;
  while (std::chrono::steady_clock::now() < end) {
    if (descriptors_of(pid) == wanted && status_line(pid, "State").starts_with("S")) return true;
    std::this_thread::sleep_for(1ms);
  }
  return false;
}

os::Exit finish(os::Child const& child) {
  pollfd one{child.pidfd.get(), POLLIN, 0};
  while (::poll(&one, 1, 20'000) < 0 && errno == EINTR) {
  }
  return os::reap(child.pidfd.get(), child.pid);
}

std::string receive(int fd) {
  os::Packet packet;
  pollfd one{fd, POLLIN, 0};
  while (::poll(&one, 1, 20'000) < 0 && errno == EINTR) {
  }
  if (os::receive_packet(fd, packet, false) != os::ReceiveResult::received) return "(nothing)";
  return {reinterpret_cast<char const*>(packet.bytes.data()), packet.bytes.size()};
}

// Starts /bin/sh; closes our copy of the child's end, so that its death is a hang-up.
struct Shell {
  explicit Shell(std::string const& script, std::vector<std::string> environment = {}) {
    auto [mine, theirs] = os::socket_pair();
    os::UniqueFd const image = open_program("/bin/sh");
    control = std::move(mine);
    child = os::spawn({image.get(), theirs.get(), {"sh", "-c", script}, std::move(environment)});
  }
  os::UniqueFd control;
  os::Child child;
};

TEST(OsSpawn, TheChildHasFiveDescriptorsAndNothingOfOurSignals) {
  sigset_t block;
  sigset_t old_mask;
  sigemptyset(&block);
  sigaddset(&block, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &block, &old_mask);
  auto* const old_usr2 = ::signal(SIGUSR2, SIG_IGN);
  auto* const old_pipe = ::signal(SIGPIPE, SIG_IGN);
  os::UniqueFd const leak(::fcntl(2, F_DUPFD, 200));  // inheritable, as a careless host has them

  auto [mine, theirs] = os::socket_pair();
  os::UniqueFd const image = open_program("/bin/sleep");
  ASSERT_TRUE(image);
  os::Child const child = os::spawn({image.get(), theirs.get(), {"sleep", "1000"}, {}});
  ::pthread_sigmask(SIG_SETMASK, &old_mask, nullptr);
  ::signal(SIGUSR2, old_usr2);
  ::signal(SIGPIPE, old_pipe);

  EXPECT_TRUE(settles_on(child.pid, {0, 1, 2, 3, 4}))
      << ::testing::PrintToString(descriptors_of(child.pid));
  EXPECT_EQ(link_of(child.pid, 0), "/dev/null");
  EXPECT_EQ(link_of(child.pid, 2), link_of(::getpid(), 2));
  EXPECT_NE(link_of(child.pid, 3).find("socket:"), std::string::npos);
  EXPECT_EQ(link_of(child.pid, 4), fs::canonical("/bin/sleep"));
  EXPECT_EQ(status_line(child.pid, "SigBlk"), "0000000000000000");
  // 32 and 33 are glibc's own; its posix_spawn leaves them ignored.
  auto const ignored = std::stoull(status_line(child.pid, "SigIgn"), nullptr, 16);
  EXPECT_EQ(ignored & ~(std::uint64_t{3} << 31), 0U);
  EXPECT_EQ(::getpgid(child.pid), child.pid);
  EXPECT_GE(child.pidfd.get(), 10);
  EXPECT_TRUE(os::send_signal(child.pidfd.get(), SIGKILL));
  os::Exit const end = finish(child);
  EXPECT_EQ(end.kind, os::Exit::Kind::signalled);
  EXPECT_EQ(end.code, SIGKILL);
}

TEST(OsSpawn, TheControlSocketIsDescriptorThree) {
  Shell shell("printf hello >&3; exit 6");
  EXPECT_EQ(receive(shell.control.get()), "hello");
  os::Exit const end = finish(shell.child);
  EXPECT_EQ(end.kind, os::Exit::Kind::exited);
  EXPECT_EQ(end.code, 6);
  EXPECT_EQ(receive(shell.control.get()), "(nothing)") << "its death hangs up";
}

TEST(OsSpawn, AdditionsReplaceVariablesOfTheSameName) {
  ASSERT_EQ(::setenv("PROCPOOL_TEST_A", "old", 1), 0);
  ASSERT_EQ(::setenv("PROCPOOL_TEST_AB", "kept", 1), 0);
  Shell shell("printf '%s %s %s' \"$PROCPOOL_TEST_A\" \"$PROCPOOL_TEST_AB\" "
              "\"$PROCPOOL_TEST_C\" >&3; read x <&3; exit 0",
              {"PROCPOOL_TEST_A=new", "PROCPOOL_TEST_C=x=y"});
  EXPECT_EQ(receive(shell.control.get()), "new kept x=y");
  std::ifstream file("/proc/" + std::to_string(shell.child.pid) + "/environ");
  std::string const all{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(all.find("PROCPOOL_TEST_A=old"), std::string::npos);
  shell.control.reset();
  finish(shell.child);
  EXPECT_STREQ(::getenv("PROCPOOL_TEST_A"), "old") << "ours is untouched";
  ::unsetenv("PROCPOOL_TEST_A");
  ::unsetenv("PROCPOOL_TEST_AB");
}

TEST(OsSpawn, GrandchildrenEndWithTheWorker) {
  Shell shell("sleep 1000 & printf %s $! >&3; exit 7");
  pid_t const grandchild = std::stoi(receive(shell.control.get()));
  os::UniqueFd const watched = os::open_pidfd(grandchild);
  os::Exit const end = finish(shell.child);
  EXPECT_EQ(end.code, 7);
  pollfd one{watched.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&one, 1, 20'000), 1) << "the grandchild lives on";
}

TEST(OsSpawn, SurvivesItsFileBeingReplaced) {
  fs::path const copy =
      fs::temp_directory_path() / ("procpool-spawn-" + std::to_string(::getpid()));
  fs::copy_file("/bin/sleep", copy, fs::copy_options::overwrite_existing);
  os::UniqueFd const image = open_program(copy.c_str());
  fs::remove(copy);
  auto [mine, theirs] = os::socket_pair();
  os::Child const child = os::spawn({image.get(), theirs.get(), {"sleep", "0"}, {}});
  os::Exit const end = finish(child);
  EXPECT_EQ(end.kind, os::Exit::Kind::exited);
  EXPECT_EQ(end.code, 0);
}

// The result of `body` in a forked child of this program; -1 if it threw or crashed.
int in_a_fork(std::function<int()> const& body) {
  pid_t const forked = ::fork();
  if (forked == 0) {
    try {
      ::_exit(body());
    } catch (...) {
      ::_exit(255);
    }
  }
  int status = -1;
  EXPECT_EQ(::waitpid(forked, &status, 0), forked);
  return WIFEXITED(status) && WEXITSTATUS(status) != 255 ? WEXITSTATUS(status) : -1;
}

TEST(OsSpawn, WorksInAProgramThatClosedItsStreams) {
  EXPECT_EQ(in_a_fork([] {
              for (int fd = 0; fd < 10; ++fd) ::close(fd);
              auto [mine, theirs] = os::socket_pair();
              os::UniqueFd const image = open_program("/bin/sleep");
              bool const high = mine.get() >= 10 && theirs.get() >= 10 && image.get() >= 10;
              os::Child const child = os::spawn({image.get(), theirs.get(), {"sleep", "1000"}, {}});
              bool const settled = settles_on(child.pid, {0, 1, 2, 3, 4});
              bool const nulls =
                  link_of(child.pid, 1) == "/dev/null" && link_of(child.pid, 2) == "/dev/null";
              os::send_signal(child.pidfd.get(), SIGKILL);
              finish(child);
              return !high ? 1 : !settled ? 2 : !nulls ? 3 : 0;
            }),
            0);
}

TEST(OsSpawn, LowSourceNumbersDoNotCollide) {
  EXPECT_EQ(in_a_fork([] {
              auto [mine, theirs] = os::socket_pair();
              os::UniqueFd const image = open_program("/bin/sh");
              // The worst: each sits where the other must go.
              ::dup2(image.get(), 3);
              ::dup2(theirs.get(), 4);
              theirs.reset();
              os::Child const child = os::spawn({3, 4, {"sh", "-c", "printf ok >&3"}, {}});
              bool const good = receive(mine.get()) == "ok";
              finish(child);
              return good ? 0 : 1;
            }),
            0);
}

TEST(OsSpawn, CloseOnExecOutputIsStillInherited) {
  EXPECT_EQ(in_a_fork([] {
              ::fcntl(1, F_SETFD, FD_CLOEXEC);
              Shell shell("printf '' >&1 && printf ok >&3");
              bool const good = receive(shell.control.get()) == "ok";
              finish(shell.child);
              return good ? 0 : 1;
            }),
            0);
}

TEST(OsSpawn, FailuresThrowAndLeaveNoChild) {
  auto [mine, theirs] = os::socket_pair();
  auto const before = descriptors_of(::getpid());
  EXPECT_THROW(os::spawn({-1, theirs.get(), {"x"}, {}}), std::system_error);
  os::UniqueFd const text = os::above_standard(os::UniqueFd(::open("/proc/self/maps", O_RDONLY)));
  EXPECT_THROW(os::spawn({text.get(), theirs.get(), {"x"}, {}}), std::system_error);
  EXPECT_THROW(os::spawn({text.get(), theirs.get(), {}, {}}), std::system_error);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
  auto now = descriptors_of(::getpid());
  now.erase(text.get());
  EXPECT_EQ(now, before);
}

TEST(OsSpawn, LeaksNoDescriptors) {
  auto const before = descriptors_of(::getpid());
  for (int i = 0; i < 5; ++i) finish(Shell("exit 0").child);
  EXPECT_EQ(descriptors_of(::getpid()), before);
}

TEST(OsSpawn, OpensItsOwnImage) {
  os::UniqueFd const image = os::open_own_image();
  EXPECT_GE(image.get(), 10);
  EXPECT_EQ(link_of(::getpid(), image.get()), fs::read_symlink("/proc/self/exe"));
}

// What the call throws where these folders are empty; "skipped" where that cannot be had.
template <class Call>
std::string text_without(char const* folder, Call&& call) {
  auto const [ours, theirs] = os::socket_pair();
  pid_t const forked = ::fork();
  if (forked == 0) {
    std::string text = "skipped";
    if (::unshare(CLONE_NEWNS) == 0 &&
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
        ::mount("none", folder, "tmpfs", 0, nullptr) == 0) {
      try {
        call();
        text = "nothing was thrown";
      } catch (std::exception const& error) {
        text = error.what();
      }
    }
    os::send_packet(theirs.get(), std::as_bytes(std::span(text)), {}, true);
    ::_exit(0);
  }
  os::Packet packet;
  EXPECT_EQ(os::receive_packet(ours.get(), packet, true), os::ReceiveResult::received);
  EXPECT_EQ(::waitpid(forked, nullptr, 0), forked);
  return {reinterpret_cast<char const*>(packet.bytes.data()), packet.bytes.size()};
}

TEST(OsSpawn, FailuresNameTheCallAndTheFile) {
  auto const [mine, theirs] = os::socket_pair();
  os::UniqueFd const image = os::open_own_image();
  auto const spawn = [&] { os::spawn({image.get(), theirs.get(), {"x"}, {}}); };
  std::string const no_null = text_without("/dev", spawn);
  if (no_null == "skipped") GTEST_SKIP() << "no file systems can be mounted here";
  EXPECT_NE(no_null.find("could not open /dev/null"), std::string::npos) << no_null;
  EXPECT_EQ(no_null.find("/proc"), std::string::npos) << no_null;
  std::string const no_proc = text_without("/proc", spawn);
  EXPECT_NE(no_proc.find("posix_spawn of "), std::string::npos) << no_proc;
  EXPECT_NE(no_proc.find("is /proc mounted?"), std::string::npos) << no_proc;
  std::string const no_image = text_without("/proc", [] { os::open_own_image(); });
  EXPECT_NE(no_image.find("/proc/thread-self/exe"), std::string::npos) << no_image;
  EXPECT_NE(no_image.find("is /proc mounted?"), std::string::npos) << no_image;
}

TEST(OsSpawn, AFileThatCannotBeExecutedIsNamed) {
  auto const [mine, theirs] = os::socket_pair();
  os::UniqueFd const text =
      os::above_standard(os::UniqueFd(::open("/etc/passwd", O_RDONLY | O_CLOEXEC)));
  try {
    os::spawn({text.get(), theirs.get(), {"x"}, {}});
    FAIL() << "it was executed";
  } catch (std::system_error const& error) {
    std::string const what = error.what();
    EXPECT_NE(what.find("posix_spawn of /etc/passwd"), std::string::npos) << what;
    EXPECT_EQ(what.find("/proc"), std::string::npos) << what;
  }
}

}  // namespace
