// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Only its own pool, in its parent, may make a process of the program act as a worker. Whoever
// starts a set-uid program may set the mark, put a socket in its place and speak as a pool does; an
// attacker here is a copy of the program without the rights, whose pool executes the one that has
// them.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "support/build.hpp"
#include "support/program.hpp"

using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;

constexpr unsigned nobody = 65534;

// A folder of root's in which set-uid programs are what they are. Removed with what is in it.
class Folder {
 public:
  Folder() {
    if (::geteuid() != 0) {
      missing_ = "only root can make a program that has more rights than its caller";
      return;
    }
    for (char const* place : {"/var/tmp", "/tmp", "/usr/local", "/opt"}) {
      struct statvfs status{};
      if (::statvfs(place, &status) != 0 || (status.f_flag & (ST_NOSUID | ST_NOEXEC)) != 0)
        continue;
      std::string name = std::string(place) + "/procpool_rights_XXXXXX";
      if (::mkdtemp(name.data()) == nullptr || ::chmod(name.c_str(), 0755) != 0) continue;
      path_ = name;
      return;
    }
    missing_ = "no folder here lets programs be set-uid";
  }
  Folder(Folder const&) = delete;
  Folder& operator=(Folder const&) = delete;
  ~Folder() {
    std::error_code error;
    if (!path_.empty()) fs::remove_all(path_, error);
  }

  // Not empty: why there is none.
  std::string const& missing() const { return missing_; }
  fs::path path(std::string const& name) const { return path_ / name; }
  // A copy of the program.
  fs::path copy(std::string const& name, mode_t mode) const {
    fs::path const to = path(name);
    fs::copy_file(support::program_path("has_rights"), to, fs::copy_options::overwrite_existing);
    EXPECT_EQ(::chmod(to.c_str(), mode), 0);
    return to;
  }

 private:
  fs::path path_;
  std::string missing_;
};

struct ProgramEnd {
  std::string status;  // "exit 0"
  std::string output;

  bool has(std::string const& text) const { return output.find(text) != std::string::npos; }
};

ProgramEnd run_program(fs::path const& program, std::vector<std::string> arguments) {
  support::Program running(program, std::move(arguments));
  running.end_input();
  bool const ended = running.wait();
  return {ended ? running.end() : "it hangs", running.output()};
}

// Executes it as it is, with the mark, and with `control` in the place of the control socket, if
// that is one. As the child of this process, or (`far`) of a child.
ProgramEnd execute_marked(
    fs::path const& program, int control, bool far = false,
    std::function<void()> const& first = [] {}) {
  std::array<int, 2> out{};
  EXPECT_EQ(::pipe2(out.data(), O_CLOEXEC), 0);
  pid_t const child = ::fork();
  if (child == 0) {
    if (far) {
      if (pid_t const grandchild = ::fork(); grandchild != 0) {
        int status = 0;
        ::waitpid(grandchild, &status, 0);
        ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
      }
    }
    int const kept = control < 0 ? -1 : ::fcntl(control, F_DUPFD, 20);
    int const image = ::open(program.c_str(), O_RDONLY);
    int const image_kept = ::fcntl(image, F_DUPFD, 20);
    ::dup2(out[1], STDOUT_FILENO);
    ::dup2(out[1], STDERR_FILENO);
    ::close(3);
    ::close(4);
    if (kept >= 0) ::dup2(kept, 3);
    ::dup2(image_kept, 4);
    for (int fd = 5; fd < 200; ++fd) ::close(fd);
    ::setenv("PROCPOOL_WORKER", "1", 1);
    ::setenv("TELL_INITIALISED", "1", 1);
    first();
    ::execl(program.c_str(), program.c_str(), "main", nullptr);
    ::_exit(98);
  }
  ::close(out[1]);
  ProgramEnd end;
  std::array<char, 4096> buffer{};
  for (;;) {
    pollfd readable{out[0], POLLIN, 0};
    if (::poll(&readable, 1, 30'000) <= 0) {
      end.output += "[it hangs]";
      ::kill(child, SIGKILL);
      break;
    }
    ssize_t const got = ::read(out[0], buffer.data(), buffer.size());
    if (got <= 0) break;
    end.output.append(buffer.data(), static_cast<std::size_t>(got));
  }
  ::close(out[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  end.status = WIFEXITED(status) ? "exit " + std::to_string(WEXITSTATUS(status))
                                 : "signal " + std::to_string(WTERMSIG(status));
  return end;
}

struct Pair {
  explicit Pair(int type) { EXPECT_EQ(::socketpair(AF_UNIX, type, 0, ends.data()), 0); }
  ~Pair() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  // A greeting that is none: whoever reads it as a worker does answers.
  void greet() const { EXPECT_EQ(::send(ends[0], "hello", 5, MSG_NOSIGNAL), 5); }
  bool answered() const {
    std::array<char, 4096> buffer{};
    return ::recv(ends[0], buffer.data(), buffer.size(), MSG_DONTWAIT) > 0;
  }
  std::array<int, 2> ends{-1, -1};
};

constexpr char const* turned_away = "descriptor 3 is no control socket of a pool in its parent";

void expect_turned_away(ProgramEnd const& end) {
  EXPECT_EQ(end.status, "exit 1") << end.output;
  EXPECT_TRUE(end.has(turned_away)) << end.output;
  EXPECT_FALSE(end.has("initialised")) << "something of it ran: " << end.output;
  EXPECT_FALSE(end.has("main as")) << end.output;
}

class Attacked : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (support::sanitized) GTEST_SKIP() << "sanitizers' runtimes refuse to run with rights";
    if (!folder_.missing().empty()) GTEST_SKIP() << folder_.missing();
    plain_ = folder_.copy("plain", 0755);
    ProgramEnd const end =
        run_program(plain_, {"attack", plain_, folder_.path("made"), GetParam()});
    if (end.status == "exit 77") GTEST_SKIP() << "it cannot become another user here";
    // The attack as such works: on a program without rights.
    ASSERT_TRUE(end.has("whose: 65534")) << end.output;
  }

  // No worker came of it, and nothing was made.
  void expect_nothing_gained(fs::path const& program) {
    fs::path const file = folder_.path("made");
    ProgramEnd const end = run_program(plain_, {"attack", program, file, GetParam()});
    EXPECT_EQ(end.status, "exit 0") << end.output;
    EXPECT_TRUE(end.has("whose: pool")) << end.output;
    EXPECT_TRUE(end.has("made: pool")) << end.output;
    EXPECT_TRUE(end.has("cannot start workers")) << end.output;
    // It was executed, as the program that it is.
    EXPECT_TRUE(end.has("main as ")) << end.output;
    EXPECT_TRUE(end.has("more rights than whoever started it")) << end.output;
    EXPECT_FALSE(fs::exists(file));
  }

  Folder folder_;
  fs::path plain_;
};

TEST_P(Attacked, ASetUidProgramHandsItsRightsToNobody) {
  fs::path const program = folder_.copy("set_uid", 04755);
  expect_nothing_gained(program);
}

TEST_P(Attacked, ASetGidProgramHandsItsRightsToNobody) {
  fs::path const program = folder_.copy("set_gid", 02755);
  expect_nothing_gained(program);
}

TEST_P(Attacked, AProgramWithCapabilitiesHandsThemToNobody) {
  fs::path const program = folder_.copy("capable", 0755);
  vfs_cap_data rights{};
  rights.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE;
  rights.data[0].permitted = 1U << CAP_DAC_OVERRIDE;
  if (::setxattr(program.c_str(), "security.capability", &rights, sizeof rights, 0) != 0) {
    GTEST_SKIP() << "no capabilities of files here";
  }
  expect_nothing_gained(program);
}

INSTANTIATE_TEST_SUITE_P(Rights, Attacked, ::testing::Values("spawn", "forkserver"),
                         [](auto const& given) { return given.param; });

// ---- with more rights than the caller

TEST(MoreRights, TheMarkMeansNothingAndPoolsSayWhyTheyAreRefused) {
  if (support::sanitized) GTEST_SKIP() << "sanitizers' runtimes refuse to run with rights";
  Folder const folder;
  if (!folder.missing().empty()) GTEST_SKIP() << folder.missing();
  fs::path const program = folder.copy("set_uid", 04755);
  Pair const pair(SOCK_SEQPACKET);
  pair.greet();
  ProgramEnd const end = execute_marked(program, pair.ends[1], false, [] {
    if (::setgid(nobody) != 0 || ::setuid(nobody) != 0) ::_exit(77);
  });
  if (end.status == "exit 77") GTEST_SKIP() << "it cannot become another user here";
  EXPECT_EQ(end.status, "exit 0") << end.output;
  EXPECT_FALSE(pair.answered());
  EXPECT_TRUE(end.has("main as 0, mark gone")) << end.output;
  EXPECT_TRUE(end.has("pool: this program has more rights than whoever started it")) << end.output;
  EXPECT_TRUE(end.has("in process: 9")) << end.output;
}

// ---- without: the control socket must be the parent's

TEST(ControlSocket, OfTheParentIsTheOneThatCounts) {
  Pair const pair(SOCK_SEQPACKET);
  pair.greet();
  ProgramEnd const end = execute_marked(support::program_path("has_rights"), pair.ends[1]);
  EXPECT_TRUE(pair.answered()) << end.output;
  EXPECT_FALSE(end.has(turned_away)) << end.output;
  EXPECT_FALSE(end.has("main as")) << end.output;
}

TEST(ControlSocket, ThatIsNoneIsTurnedAway) {
  expect_turned_away(execute_marked(support::program_path("has_rights"), -1));
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  expect_turned_away(execute_marked(support::program_path("has_rights"), pipe[0]));
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST(ControlSocket, OfAnotherKindIsTurnedAway) {
  for (int const type : {SOCK_STREAM, SOCK_DGRAM}) {
    Pair const pair(type);
    pair.greet();
    expect_turned_away(execute_marked(support::program_path("has_rights"), pair.ends[1]));
    EXPECT_FALSE(pair.answered());
  }
}

TEST(ControlSocket, OfWhoIsNotTheParentIsTurnedAway) {
  Pair const pair(SOCK_SEQPACKET);
  pair.greet();
  expect_turned_away(execute_marked(support::program_path("has_rights"), pair.ends[1], true));
  EXPECT_FALSE(pair.answered());
}

TEST(ControlSocket, OfAnotherUserIsTurnedAway) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can act for another user";
  std::optional<Pair> pair;
  ASSERT_EQ(::seteuid(nobody), 0);
  pair.emplace(SOCK_SEQPACKET);
  ASSERT_EQ(::seteuid(0), 0);
  pair->greet();
  expect_turned_away(execute_marked(support::program_path("has_rights"), pair->ends[1]));
  EXPECT_FALSE(pair->answered());
}

// ---- rights that the program itself drops

class DroppedRights : public ::testing::TestWithParam<std::string> {};

TEST_P(DroppedRights, AreNotThoseOfWorkersThatAreMadeLater) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root has rights to drop";
  ProgramEnd const end = run_program(support::program_path("has_rights"), {"drops", GetParam()});
  if (end.status == "exit 77") GTEST_SKIP() << "it cannot become another user here";
  EXPECT_EQ(end.status, "exit 0") << end.output;
  EXPECT_TRUE(end.has("before: 0")) << end.output;
  EXPECT_TRUE(end.has("after: 65534")) << end.output;
  EXPECT_FALSE(end.has("after: 0")) << end.output;
}

INSTANTIATE_TEST_SUITE_P(Rights, DroppedRights, ::testing::Values("spawn", "forkserver"),
                         [](auto const& given) { return given.param; });

TEST(DroppedRights, AreNotGainedAgainByWorkersOfASetUidProgram) {
  if (support::sanitized) GTEST_SKIP() << "sanitizers' runtimes refuse to run with rights";
  Folder const folder;
  if (!folder.missing().empty()) GTEST_SKIP() << folder.missing();
  ProgramEnd const end = run_program(folder.copy("set_uid", 04755), {"drops"});
  if (end.status == "exit 77") GTEST_SKIP() << "it cannot become another user here";
  EXPECT_EQ(end.status, "exit 0") << end.output;
  EXPECT_TRUE(end.has("before: 0")) << end.output;
  EXPECT_TRUE(end.has("after: pool")) << end.output;
  EXPECT_TRUE(end.has("would have more rights than the program itself has now")) << end.output;
  EXPECT_FALSE(end.has("main as")) << "an execution of it ran its main: " << end.output;
}

TEST(DroppedRights, ForAWhileTheyHaveNoWorkersAndThePoolSaysSo) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can act for another user";
  ProgramEnd const end = run_program(support::program_path("has_rights"), {"drops_for_a_while"});
  EXPECT_EQ(end.status, "exit 0") << end.output;
  EXPECT_TRUE(end.has("meanwhile: pool")) << end.output;
  EXPECT_TRUE(end.has("acts for another user or group than its own")) << end.output;
  EXPECT_TRUE(end.has("after: 0")) << end.output;
}

}  // namespace
