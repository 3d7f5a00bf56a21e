// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Only the program and the worker that it is for may attach to a pool's memory. Nothing of it has a
// name; what else the program starts inherits none of it; a worker cannot write what the program
// writes, nor see what other workers have.

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <procpool.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support/fork_server.hpp"
#include "support/processes.hpp"
#include "support/tasks.hpp"

namespace {

constexpr std::size_t large_bytes = 1'000'000;

using tasks::echo;

// Small and large messages in both directions, and a shared value: all kinds of memory that there
// are.
pid_t use_everything(procpool::ProcessPool& pool, int key) {
  auto const shared = pool.share(std::string(large_bytes, 's'));
  auto one = pool.with({.key = key});
  EXPECT_EQ(one.call<echo>("small"), "small");
  EXPECT_EQ(one.call<echo>(std::string(large_bytes, 'l')).size(), large_bytes);
  EXPECT_EQ(
      one.call([](procpool::Shared<std::string> const& text) { return text->size(); }, shared),
      large_bytes);
  return one.call([] { return ::getpid(); });
}

using support::is_memory_of_a_pool;

// The files behind the mappings of this process that are the library's.
std::set<std::string> inodes_of(pid_t pid) {
  std::set<std::string> inodes;
  for (std::string const& line : support::mappings_of(pid)) {
    if (!is_memory_of_a_pool(line)) continue;
    std::istringstream fields(line);
    std::vector<std::string> const all{std::istream_iterator<std::string>(fields), {}};
    inodes.insert(all.at(4));
  }
  return inodes;
}

std::string output_of(std::string const& command) {
  std::string text;
  FILE* const pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return "no pipe";
  std::array<char, 4096> buffer{};
  while (std::size_t const got = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    text.append(buffer.data(), got);
  }
  ::pclose(pipe);
  return text;
}

// Its descriptors and mappings; what a program that is started here sees of itself.
constexpr char const* look_at_itself = "ls -l /proc/self/fd; cat /proc/self/maps";

// Tries all that a process can do to a memory file of the program that it can name.
std::string write_all_files_of(pid_t program) {
  std::string done;
  int tried = 0;
  for (auto const& [number, target] : support::descriptors_of(program)) {
    if (!is_memory_of_a_pool(target)) continue;
    ++tried;
    std::string const path = support::proc(program, "fd/" + std::to_string(number));
    for (int const mode : {O_RDWR, O_WRONLY}) {
      int const fd = ::open(path.c_str(), mode | O_CLOEXEC);
      if (fd < 0) continue;
      char const byte = 'x';
      if (::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED) {
        done += target + " mapped writable; ";
      }
      void* const read_only = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0);
      if (read_only != MAP_FAILED && ::mprotect(read_only, 4096, PROT_READ | PROT_WRITE) == 0) {
        done += target + " made writable; ";
      }
      if (::pwrite(fd, &byte, 1, 0) >= 0) done += target + " written; ";
      if (::ftruncate(fd, 0) == 0) done += target + " cut off; ";
      if (::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0) {
        done += target + " punched; ";
      }
      ::close(fd);
    }
  }
  return tried == 0 ? "found none" : done;
}

bool can_open_memory_of(pid_t pid) {
  int const fd = ::open(support::proc(pid, "mem").c_str(), O_RDWR | O_CLOEXEC);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

}  // namespace

TEST(Attach, NothingHasAName) {
  auto const before = support::shared_memory_names();
  for (auto const start : {procpool::Start::spawn, procpool::Start::forkserver}) {
    procpool::PoolOptions options;
    options.workers = 2;
    options.start.method = start;
    procpool::ProcessPool pool{options};
    pid_t const worker = use_everything(pool, 0);
    EXPECT_TRUE(support::no_names_but(before));
    for (pid_t const pid : {::getpid(), worker}) {
      EXPECT_FALSE(inodes_of(pid).empty());
      for (std::string const& line : support::mappings_of(pid)) {
        if (line.find(" rw-s ") == std::string::npos && line.find(" r--s ") == std::string::npos) {
          continue;
        }
        EXPECT_NE(line.find("(deleted)"), std::string::npos) << line;
      }
      for (auto const& [number, target] : support::descriptors_of(pid)) {
        if (!is_memory_of_a_pool(target)) continue;
        struct stat status{};
        ASSERT_EQ(::stat(support::proc(pid, "fd/" + std::to_string(number)).c_str(), &status), 0);
        EXPECT_EQ(status.st_nlink, 0u) << target;
      }
    }
  }
}

TEST(Attach, WhatTheProgramOrATaskStartsInheritsNothing) {
  std::string const before = output_of("ls /proc/self/fd | wc -l");
  procpool::ProcessPool pool{2};
  use_everything(pool, 0);
  EXPECT_EQ(output_of("ls /proc/self/fd | wc -l"), before);
  for (std::string const& text :
       {output_of(look_at_itself), pool.call(output_of, std::string(look_at_itself))}) {
    EXPECT_NE(text.find("[stack]"), std::string::npos) << text;
    for (char const* const word : {"/memfd:", "anon_inode:", "socket:[", "/dev/shm/"}) {
      EXPECT_EQ(text.find(word), std::string::npos) << word << " in\n" << text;
    }
  }
}

// The program's files of arguments are there to be found, for who has the program's rights: sealed.
TEST(Attach, AWorkerCannotWriteWhatTheProgramWrites) {
  procpool::ProcessPool pool{1};
  use_everything(pool, 0);
  EXPECT_EQ(pool.call(write_all_files_of, ::getpid()), "");
  EXPECT_EQ(pool.call<echo>("still"), "still");
}

TEST(Attach, AHardenedWorkerHasNoMemoryOfAnothers) {
  for (auto const start : {procpool::Start::spawn, procpool::Start::forkserver}) {
    procpool::PoolOptions options;
    options.workers = 2;
    options.start.method = start;
    options.harden = true;  // else message memory serves any worker, see docs/guarantees.md
    procpool::ProcessPool pool{options};
    pid_t const first = use_everything(pool, 0);
    pid_t const second = use_everything(pool, 1);
    ASSERT_NE(first, second);
    auto const of_first = inodes_of(first);
    auto const of_second = inodes_of(second);
    EXPECT_GE(of_first.size(), 2u);  // its rings
    EXPECT_GE(of_second.size(), 2u);
    std::vector<std::string> both;
    std::ranges::set_intersection(of_first, of_second, std::back_inserter(both));
    EXPECT_EQ(both.size(), 0u) << both.front();
    // Nor does the fork server, that both are forked from, have any.
    if (pid_t const its_fork_server = support::fork_server_pid(); its_fork_server != 0) {
      EXPECT_TRUE(inodes_of(its_fork_server).empty());
    }
  }
}

// Workers are faulty, not malicious: what the kernel lets processes of one user do to each other it
// lets them do too, neither more nor less than any other child of the program.
TEST(Attach, TheProgramsOwnMemoryIsTheKernelsToGuard) {
  std::string const path = support::proc(::getpid(), "mem");
  bool const any_child = std::system(("exec 3<>" + path + " 2>/dev/null").c_str()) == 0;
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call(can_open_memory_of, ::getpid()), any_child);
}
