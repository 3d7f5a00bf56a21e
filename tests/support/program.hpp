// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Program: runs one of the little programs of tests/programs, with a limit of time. What it
// writes to standard output and error is collected together. Whatever is left of it is killed.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "until.hpp"

namespace support {

class Program {
 public:
  Program(std::string path, std::vector<std::string> arguments = {}) : path_(std::move(path)) {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    if (::pipe2(in.data(), O_CLOEXEC) != 0 || ::pipe2(out.data(), O_CLOEXEC) != 0) {
      throw std::runtime_error("no pipes");
    }
    in_ = in[1];
    out_ = out[0];
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, out[1], STDERR_FILENO);
    std::vector<char*> argv{path_.data()};
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    int const error = ::posix_spawn(&pid_, path_.c_str(), &actions, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(in[0]);
    ::close(out[1]);
    if (error != 0) throw std::runtime_error(path_ + ": " + std::strerror(error));
  }
  Program(Program const&) = delete;
  Program& operator=(Program const&) = delete;
  ~Program() {
    if (!reaped_) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, &status_, 0);
    }
    end_input();
    ::close(out_);
  }

  pid_t pid() const { return pid_; }

  void say(std::string const& line) {
    std::string const text = line + "\n";
    static_cast<void>(!::write(in_, text.data(), text.size()));
  }
  void end_input() {
    if (in_ >= 0) ::close(std::exchange(in_, -1));
  }
  void kill(int signal) { ::kill(pid_, signal); }

  // The output so far.
  std::string const& output() {
    read_for(std::chrono::milliseconds(0));
    return output_;
  }
  std::vector<std::string> lines() {
    std::vector<std::string> lines;
    std::istringstream all(output());
    for (std::string line; std::getline(all, line);) {
      if (!all.eof()) lines.push_back(line);  // what has no end yet is no line
    }
    return lines;
  }

  // Waits until it has written so many lines.
  bool wrote_lines(std::size_t count, std::chrono::milliseconds limit = 20s) {
    return until(
        [&] {
          read_for(1ms);
          return lines().size() >= count;
        },
        limit);
  }

  // Waits until all who could write to its output are gone: itself, and the processes that have it
  // from there.
  bool output_ended(std::chrono::milliseconds limit) {
    return until(
        [&] {
          read_for(1ms);
          return ended_;
        },
        limit);
  }

  // Waits for its end; false: it has not come.
  bool wait(std::chrono::milliseconds limit = 50s) {
    return until(
        [&] {
          read_for(1ms);
          return reap();
        },
        limit);
  }

  // "exit 0", "signal 9", "running"
  std::string end() {
    if (!reap()) return "running";
    read_for(std::chrono::milliseconds(0));
    if (WIFEXITED(status_)) return "exit " + std::to_string(WEXITSTATUS(status_));
    return "signal " + std::to_string(WTERMSIG(status_));
  }

 private:
  bool reap() {
    if (!reaped_ && ::waitpid(pid_, &status_, WNOHANG) == pid_) reaped_ = true;
    return reaped_;
  }

  void read_for(std::chrono::milliseconds time) {
    pollfd readable{out_, POLLIN, 0};
    int wait_ms = static_cast<int>(time.count());
    while (!ended_ && ::poll(&readable, 1, wait_ms) > 0) {
      wait_ms = 0;
      std::array<char, 4096> buffer{};
      ssize_t const got = ::read(out_, buffer.data(), buffer.size());
      if (got > 0) output_.append(buffer.data(), static_cast<std::size_t>(got));
      if (got == 0) ended_ = true;
      if (got < 0 && errno != EINTR) ended_ = true;
    }
  }

  std::string path_;
  pid_t pid_ = -1;
  int in_ = -1;
  int out_ = -1;
  int status_ = 0;
  bool reaped_ = false;
  bool ended_ = false;
  std::string output_;
};

#if defined(PROCPOOL_TEST_PROGRAMS)
inline std::string program_path(std::string const& name) {
  return std::filesystem::path(PROCPOOL_TEST_PROGRAMS) / name;
}

// Succeeds if the program ends, in time, with status 0. Shows what it wrote if not.
inline testing::AssertionResult succeeds(std::string const& name,
                                         std::vector<std::string> arguments = {},
                                         std::chrono::milliseconds limit = 50s) {
  Program program(program_path(name), std::move(arguments));
  program.end_input();
  bool const ended = program.wait(limit);
  if (ended && program.end() == "exit 0") return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << name << (ended ? " ended with " : " did not end: ") << program.end() << "; it wrote:\n"
         << program.output();
}
#endif

}  // namespace support
