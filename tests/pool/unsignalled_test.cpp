// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Workers that the kernel does not let the program signal: they have executed a program that is
// root's, and the program is another user's. Their elements end in time all the same, and the pool
// goes on.

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <tuple>

#include "support/build.hpp"
#include "support/processes.hpp"
#include "support/program.hpp"
#include "support/until.hpp"

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// A program that runs with root's rights, whoever executes it.
class RootsProgram {
 public:
  RootsProgram()
      : folder_(fs::temp_directory_path() / ("procpool-root-" + std::to_string(::getpid()))) {
    fs::create_directory(folder_);
    fs::permissions(folder_, fs::perms{0755});
    fs::copy_file(support::program_path("stays_as_root"), path());
    ::chmod(path().c_str(), 04755);
  }
  RootsProgram(RootsProgram const&) = delete;
  RootsProgram& operator=(RootsProgram const&) = delete;
  ~RootsProgram() { fs::remove_all(folder_); }

  std::string path() const { return folder_ / "stays_as_root"; }

 private:
  fs::path const folder_;
};

class WorkerOfAnotherUser : public testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(WorkerOfAnotherUser, IsAbandonedAndReplaced) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root makes a program that is root's";
  if (support::sanitized) GTEST_SKIP() << "sanitizers do not run with another user's rights";
  auto const& [what, start] = GetParam();
  RootsProgram const program_of_root;
  support::Program program(support::program_path("executes_another_users"),
                           {program_of_root.path(), what, start});
  ASSERT_TRUE(program.wait(45s)) << "it hangs\n" << program.output();
  std::string const end = program.end();
  if (end == "exit 77") {
    GTEST_SKIP()
        << "programs get no rights here (nosuid, no_new_privs), or no other user is to be had";
  }
  EXPECT_EQ(end, "exit 0") << program.output();
  // It goes when its time is over.
  auto const lines = program.lines();
  pid_t pid = 0;
  for (std::string const& line : lines) {
    if (line.starts_with("pid ")) pid = std::stoi(line.substr(4));
  }
  ASSERT_GT(pid, 0) << program.output();
  EXPECT_NE(program.output().find("may not be signalled"), std::string::npos) << program.output();
  EXPECT_TRUE(support::until([&] { return ::kill(pid, 0) != 0; }, 20s));
}

INSTANTIATE_TEST_SUITE_P(By, WorkerOfAnotherUser,
                         testing::Combine(testing::Values("deadline", "cancel", "terminate"),
                                          testing::Values("spawn", "forkserver")),
                         [](auto const& given) {
                           return std::get<0>(given.param) + "_" + std::get<1>(given.param);
                         });

}  // namespace
