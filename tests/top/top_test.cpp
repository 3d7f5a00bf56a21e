// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// procpool-top shows what the pools of a process do, from outside, and believes nothing that it reads.

#include <gtest/gtest.h>

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <procpool.hpp>

#include "protocol/live_view.hpp"
#include "support/gate.hpp"
#include "support/program.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
namespace protocol = procpool::protocol;
using support::Program;

// ---- programs that are looked at

int wait_with_progress(int value, std::string const& gate) {
  procpool::this_task::progress(3, 50);
  support::wait_at(gate);
  return value;
}
int square(int value) { return value * value; }

struct Shown {
  std::string text;
  std::string end;

  bool has(std::string const& part) const { return text.find(part) != std::string::npos; }
};

Shown look(std::vector<std::string> arguments) {
  Program top(PROCPOOL_TOP, std::move(arguments));
  top.end_input();
  EXPECT_TRUE(top.wait());
  std::string const end = top.end();
  return {top.output(), end};
}
Shown look_at(pid_t pid) { return look({"--once", std::to_string(pid)}); }

// A forked process that does this, and then lives on until the object is gone.
class Child {
 public:
  explicit Child(std::function<void()> const& first) {
    std::array<int, 2> ready{};
    EXPECT_EQ(::pipe2(ready.data(), O_CLOEXEC), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      first();
      static_cast<void>(!::write(ready[1], "", 1));
      for (;;) ::pause();
    }
    ::close(ready[1]);
    char byte = 0;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1);
    ::close(ready[0]);
  }
  Child(Child const&) = delete;
  Child& operator=(Child const&) = delete;
  ~Child() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

// In a process that has no pool: what one with a pool would have.
void pretend(protocol::LiveViewHeader header, int request, std::string const& view = "") {
  int const file = ::memfd_create(protocol::live_view_name, 0);
  header.pid = ::getpid();
  header.request = request;
  static_cast<void>(!::pwrite(file, &header, sizeof header, 0));
  static_cast<void>(!::pwrite(file, view.data(), view.size(), protocol::live_view_offset));
}

// ---- what it shows

TEST(Top, ShowsWhatEachWorkerRuns) {
  support::Gate gate;
  procpool::ProcessPool pool{{.workers = 2, .name = "shown"}};
  auto future = pool.with({.label = "squares"}).submit<wait_with_progress>(1, gate.path());
  ASSERT_TRUE(support::until([&] {
    auto const workers = pool.worker_stats();
    return std::ranges::any_of(workers,
                               [](auto const& w) { return w.running && w.running->done == 3; });
  }));
  Shown const shown = look_at(::getpid());
  gate.open();
  EXPECT_EQ(future.get(), 1);
  EXPECT_EQ(shown.end, "exit 0");
  EXPECT_TRUE(shown.has("pool \"shown\"")) << shown.text;
  EXPECT_TRUE(shown.has(" of 2 workers")) << shown.text;
  EXPECT_TRUE(shown.has("running 1")) << shown.text;
  EXPECT_TRUE(shown.has("\"squares\": element 0 of call 1, 3 of 50")) << shown.text;
  for (auto const& worker : pool.worker_stats()) {
    if (worker.pid != 0) {
      EXPECT_TRUE(shown.has(" " + std::to_string(worker.pid) + " ")) << shown.text;
    }
  }
}

TEST(Top, EachLookIsANewOne) {
  procpool::ProcessPool pool{{.workers = 1}};
  for (std::uint64_t done = 1; done <= 20; ++done) {
    pool.submit<square>(2).get();
    Shown const shown = look_at(::getpid());
    EXPECT_TRUE(shown.has("done " + std::to_string(done) + "\n"))
        << done << " done: " << shown.text;
  }
}

TEST(Top, ManyMayLookAtOnce) {
  procpool::ProcessPool pool{{.workers = 1, .name = "popular"}};
  pool.submit<square>(2).get();
  std::vector<std::jthread> viewers;
  std::atomic<int> served = 0;
  for (int i = 0; i < 8; ++i) {
    viewers.emplace_back([&] {
      for (int look = 0; look < 5; ++look)
        served += look_at(::getpid()).has("pool \"popular\"") ? 1 : 0;
    });
  }
  viewers.clear();
  EXPECT_EQ(served, 40);
  EXPECT_EQ(pool.submit<square>(3).get(), 9);
}

TEST(Top, ShowsEveryPoolOfAProcess) {
  support::Gate gate;
  procpool::ProcessPool first{{.workers = 1, .name = "first"}};
  procpool::ProcessPool second{{.workers = 1, .name = "second"}};
  first.submit<square>(2).get();
  second.submit<square>(2).get();
  auto process = procpool::start_process<wait_with_progress>(5, gate.path());
  ASSERT_TRUE(support::until([&] { return process.pid() != 0; }));
  Shown const shown = look_at(::getpid());
  gate.open();
  process.join();
  EXPECT_TRUE(shown.has("pool \"first\"")) << shown.text;
  EXPECT_TRUE(shown.has("pool \"second\"")) << shown.text;
  EXPECT_TRUE(shown.has("pool \"processes\"")) << shown.text;
}

TEST(Top, WithoutAProcessListsThoseThatHavePools) {
  procpool::ProcessPool pool{{.workers = 1}};
  pool.submit<square>(2).get();
  Shown const shown = look({});
  EXPECT_EQ(shown.end, "exit 0");
  EXPECT_TRUE(shown.has(std::to_string(::getpid()) + "  top_tests  1 pool\n")) << shown.text;
}

TEST(Top, APoolThatHasEndedIsNotThere) {
  {
    procpool::ProcessPool pool{{.workers = 1}};
    pool.submit<square>(2).get();
  }
  Shown const shown = look_at(::getpid());
  EXPECT_TRUE(shown.has("no pool works here")) << shown.text;
}

TEST(Top, AForkedChildHasNoPoolsOfItsParent) {
  procpool::ProcessPool pool{{.workers = 1}};
  pool.submit<square>(2).get();
  Child const child([] {});
  Shown const shown = look_at(child.pid());
  EXPECT_TRUE(shown.has("no pool works here")) << shown.text;
}

TEST(Top, AStoppedProgramIsToldAsSuch) {
  Child const child([] {
    auto* const pool = new procpool::ProcessPool{{.workers = 1}};
    pool->submit<square>(2).get();
  });
  ::kill(child.pid(), SIGSTOP);
  Shown const shown = look_at(child.pid());
  EXPECT_EQ(shown.end, "exit 1");
  EXPECT_TRUE(shown.has("does not answer")) << shown.text;
}

TEST(Top, AProcessThatIsNotThereIsAnError) {
  pid_t gone = 0;
  {
    gone = Child([] {}).pid();
  }
  Shown const shown = look_at(gone);
  EXPECT_EQ(shown.end, "exit 1");
  EXPECT_EQ(shown.text, "procpool-top: there is no process " + std::to_string(gone) + "\n");
}

TEST(Top, RefusesArgumentsWithOneSentence) {
  for (std::vector<std::string> const& arguments :
       std::vector<std::vector<std::string>>{{"zero"},
                                             {"0"},
                                             {"-1"},
                                             {std::string(300, '9')},
                                             {"--interval", "nan", "1"},
                                             {"--interval", "0", "1"},
                                             {"--interval", "1x", "1"},
                                             {"--interval", "inf"},
                                             {"1", "2"}}) {
    Shown const shown = look(arguments);
    EXPECT_EQ(shown.end, "exit 1") << arguments[0];
    EXPECT_TRUE(shown.text.starts_with("procpool-top: ")) << shown.text;
    EXPECT_EQ(std::ranges::count(shown.text, '\n'), 1) << shown.text;
    EXPECT_LT(shown.text.size(), 200u) << shown.text;
  }
}

TEST(Top, OfAZombieSaysThatItHasEnded) {
  pid_t const zombie = ::fork();
  if (zombie == 0) ::_exit(0);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(zombie), &info, WEXITED | WNOWAIT), 0);
  Shown const shown = look_at(zombie);
  ::waitpid(zombie, nullptr, 0);
  EXPECT_EQ(shown.end, "exit 1");
  EXPECT_EQ(shown.text, "procpool-top: process " + std::to_string(zombie) + " has ended\n");
}

TEST(Top, WhatCannotBeWrittenIsAnError) {
  for (std::string const arguments : {"", "--help"}) {
    Program shell("/bin/sh", {"-c", "\"$0\" " + arguments + " >/dev/full", PROCPOOL_TOP});
    shell.end_input();
    EXPECT_TRUE(shell.wait());
    EXPECT_EQ(shell.end(), "exit 1");
    EXPECT_NE(shell.output().find("standard output cannot be written"), std::string::npos)
        << shell.output();
  }
}

// ---- in a terminal

// procpool-top in a terminal, below a shell that continues it whenever it stops.
class Terminal {
 public:
  explicit Terminal(pid_t looked_at, unsigned short rows = 30) {
    std::string const pid = std::to_string(looked_at);
    winsize size{rows, 100, 0, 0};
    shell_ = ::forkpty(&terminal_, nullptr, nullptr, &size);
    if (shell_ == 0) run_shell(pid);
  }
  Terminal(Terminal const&) = delete;
  Terminal& operator=(Terminal const&) = delete;
  ~Terminal() {
    ::close(terminal_);
    ::waitpid(shell_, nullptr, 0);
  }

  void press(char key) const { EXPECT_EQ(::write(terminal_, &key, 1), 1); }
  // What was read before is gone.
  bool read_until(std::string const& part) {
    std::array<char, 4096> bytes{};
    while (text_.find(part) == std::string::npos) {
      ssize_t const got = ::read(terminal_, bytes.data(), bytes.size());
      if (got <= 0) return false;
      text_.append(bytes.data(), static_cast<std::size_t>(got));
    }
    text_.erase(0, text_.find(part) + part.size());
    return true;
  }
  std::string const& text() const { return text_; }

 private:
  static void say(std::string const& text) {
    static_cast<void>(!::write(STDOUT_FILENO, text.data(), text.size()));
  }
  [[noreturn]] static void run_shell(std::string const& pid) {
    ::signal(SIGTTOU, SIG_IGN);
    pid_t const top = ::fork();
    if (top == 0) {
      ::setpgid(0, 0);
      ::tcsetpgrp(STDIN_FILENO, ::getpid());
      ::signal(SIGTTOU, SIG_DFL);
      ::execl(PROCPOOL_TOP, PROCPOOL_TOP, "--interval", "0.1", pid.c_str(), nullptr);
      ::_exit(127);
    }
    int status = 0;
    while (::waitpid(top, &status, WUNTRACED) == top) {
      termios now{};
      ::tcgetattr(STDIN_FILENO, &now);
      bool const whole = (now.c_lflag & ICANON) != 0 && (now.c_lflag & ECHO) != 0;
      std::string const mode = whole ? " whole;" : " raw;";
      if (!WIFSTOPPED(status)) {
        say("ended " + std::to_string(WIFEXITED(status) ? WEXITSTATUS(status) : -1) + mode);
        ::_exit(0);
      }
      say("stopped" + mode);
      ::kill(top, SIGCONT);
    }
    ::_exit(1);
  }

  int terminal_ = -1;
  pid_t shell_ = -1;
  std::string text_;
};

constexpr char const* second_screen = "\x1b[?1049h";
constexpr char const* first_screen = "\x1b[?25h\x1b[?1049l";

TEST(Top, HasASecondScreenUntilAKeyOrASignalEndsIt) {
  procpool::ProcessPool pool{{.workers = 1, .name = "watched"}};
  pool.submit<square>(2).get();
  for (char const key : {'q', '\x03', '\x1c'}) {  // Ctrl-C, Ctrl-backslash
    Terminal terminal(::getpid());
    EXPECT_TRUE(terminal.read_until(second_screen));
    EXPECT_TRUE(terminal.read_until("done 1  0/s")) << terminal.text();
    terminal.press(key);
    EXPECT_TRUE(terminal.read_until(first_screen));
    EXPECT_TRUE(terminal.read_until("pool \"watched\"")) << "the last view stays";
    EXPECT_TRUE(terminal.read_until("ended 0 whole;")) << terminal.text();
  }
}

TEST(Top, GivesTheTerminalBackWhileItIsStopped) {
  procpool::ProcessPool pool{{.workers = 1, .name = "watched"}};
  pool.submit<square>(2).get();
  Terminal terminal(::getpid());
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(terminal.read_until(second_screen));
    EXPECT_TRUE(terminal.read_until("pool \"watched\"")) << "it is drawn again";
    terminal.press('\x1a');
    EXPECT_TRUE(terminal.read_until(first_screen));
    EXPECT_TRUE(terminal.read_until("stopped whole;")) << terminal.text();
  }
  EXPECT_TRUE(terminal.read_until("pool \"watched\""));
  terminal.press('q');
  EXPECT_TRUE(terminal.read_until("ended 0 whole;")) << terminal.text();
}

TEST(Top, SaysHowMuchDoesNotFit) {
  procpool::ProcessPool pool{{.workers = 20, .name = "large"}};
  pool.submit<square>(2).get();
  Terminal terminal(::getpid(), 10);
  // 20 places and six lines above them, of which eight are seen.
  EXPECT_TRUE(terminal.read_until("18 more lines")) << terminal.text();
  terminal.press('q');
  EXPECT_TRUE(terminal.read_until("ended 0 whole;")) << terminal.text();
}

// Each of these pools is waited for two seconds.
TEST(Top, AKeyIsAnsweredWhilePoolsDoNotAnswer) {
  Child const child([] {
    std::array<int, 2> ends{};
    static_cast<void>(::pipe(ends.data()));
    for (int i = 0; i < 40; ++i) pretend({}, ends[0]);
  });
  Terminal terminal(child.pid());
  EXPECT_TRUE(terminal.read_until(second_screen));
  auto const begin = std::chrono::steady_clock::now();
  terminal.press('q');
  EXPECT_TRUE(terminal.read_until("ended 1 whole;")) << terminal.text();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 60s);
}

// ---- what it does not believe

TEST(Top, WritesIntoNoFileThatAProcessNames) {
  std::string const path = testing::TempDir() + "procpool_top_" + std::to_string(::getpid());
  std::ofstream(path) << "untouched";
  Child const child([&] { pretend({}, ::open(path.c_str(), O_RDONLY)); });
  Shown const shown = look_at(child.pid());
  EXPECT_TRUE(shown.has("no pool works here")) << shown.text;
  std::ifstream file(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "untouched");
  std::filesystem::remove(path);
}

TEST(Top, AViewThatIsNoneIsNotShown) {
  Child const child([] {
    std::array<int, 2> ends{};
    static_cast<void>(::pipe(ends.data()));
    protocol::LiveViewHeader header;
    header.number = 2;
    header.size = std::uint64_t{1} << 60;
    pretend(header, ends[0], "junk");
    header.size = 4;
    pretend(header, ends[0], "junk");
    pretend(header, -1);
    pretend(header, 1'000'000);
  });
  Shown const shown = look_at(child.pid());
  EXPECT_EQ(shown.end, "exit 1");
  EXPECT_TRUE(shown.has("does not answer")) << shown.text;
}

TEST(Top, AnotherVersionIsToldAsSuch) {
  Child const child([] {
    protocol::LiveViewHeader header;
    header.version = protocol::live_view_version + 1;
    pretend(header, -1);
  });
  EXPECT_TRUE(look_at(child.pid()).has("another version of procpool"));
}

}  // namespace
