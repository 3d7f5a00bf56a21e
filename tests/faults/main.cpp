// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Makes each call of the library fail, one after the other, and judges what becomes of the script
// (script.hpp):
//
//   faults LIBRARY [--start spawn|forkserver] [--who program|main|pool|worker|fork_server] [--calls NAME,...]
//          [--but NAME,...] [--mode nth|from|each|random] [--most N] [--spread N] [--seconds S] [--seed S]
//          [--slice K/N] [--parts N] [--composes|--handles|--processes] [--verbose]
//
// nth: the first to the N-th call fails, once; from: all from there on; each: the N-th of every
// process. How often a call is made at all is counted first. --spread: not the first ones, but so
// many over all of them. random: one in ten to one in a thousand, for so many seconds. --composes,
// --handles, --processes: another part of the script. --verbose shows what the processes print, and the stacks of one that
// hangs; with FAULTS_TRACE=1 also the stack of each refused call.
//
// The judge starts itself as the program, under the preloaded LIBRARY (preload.cpp), and gives it
// one trial after the other. Who hangs or dies is a failure, and is begun anew behind that trial.
// Several parts at a time: most of a trial is waiting.

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "board.hpp"
#include "script.hpp"
#include "support/processes.hpp"

namespace {

using namespace std::chrono_literals;
using faults::Board;
using Clock = std::chrono::steady_clock;

struct Trial {
  std::size_t call = 0;
  int error = 0;
  std::uint64_t from = 0;  // 0: nothing fails, and calls are counted
  std::uint64_t to = 0;
  std::uint32_t per_mille = 0;
  std::uint64_t seed = 0;
  bool each = false;

  // What fails once, or in passing, must not be felt for ever.
  bool heals(std::uint32_t who) const {
    bool const program = (who & ~std::uint32_t{faults::program}) == 0;
    return per_mille == 0 && from == to && (!each || program);
  }
  std::string text() const {
    std::ostringstream text;
    text << faults::calls[call].name << ' ' << ::strerrorname_np(error) << ' ';
    if (per_mille != 0) {
      text << per_mille << " of 1000, seed " << seed;
    } else if (from == 0) {
      text << "never";
    } else {
      text << "from the " << from << ".";
      if (to == from) text << " once";
      if (each) text << " of each process";
    }
    return text.str();
  }
};

struct Options {
  std::string library;
  procpool::Start start = procpool::Start::spawn;
  std::string start_name = "spawn";
  std::uint32_t who = faults::program;
  std::string mode = "nth";
  std::vector<std::string> calls, but;
  std::uint64_t most = 10;
  std::uint64_t spread = 0;
  int seconds = 10;
  std::uint64_t seed = 1;
  std::size_t slice = 0;  // of so many: every n-th trial
  std::size_t slices = 1;
  int parts = 3;
  faults::Script::Part part = faults::Script::Part::plain;
  bool verbose = false;
};

std::vector<std::string> names_in(std::string const& list) {
  std::vector<std::string> names;
  std::istringstream in(list);
  for (std::string name; std::getline(in, name, ',');) names.push_back(name);
  return names;
}

std::optional<faults::Script::Part> part_named(std::string const& name) {
  using Part = faults::Script::Part;
  if (name == "--composes") return Part::composes;
  if (name == "--handles") return Part::handles;
  if (name == "--processes") return Part::processes;
  return std::nullopt;
}

Options parse(int argc, char** argv) {
  Options options;
  if (argc < 2) throw std::invalid_argument("the library to preload is missing");
  // From its own folder: LD_PRELOAD is a list, and a blank in a path would divide it.
  std::filesystem::path const library = argv[1];
  if (library.has_parent_path()) std::filesystem::current_path(library.parent_path());
  options.library = "./" + library.filename().string();
  for (int i = 2; i < argc; ++i) {
    std::string const name = argv[i];
    if (name == "--verbose") {
      options.verbose = true;
      continue;
    }
    if (auto const part = part_named(name)) {
      options.part = *part;
      continue;
    }
    if (++i == argc) throw std::invalid_argument(name + " needs a value");
    std::string const value = argv[i];
    if (name == "--start") {
      options.start_name = value;
      if (value == "forkserver") options.start = procpool::Start::forkserver;
    } else if (name == "--who") {
      options.who = value == "program"  ? std::uint32_t{faults::program}
                    : value == "main"   ? std::uint32_t{faults::main_thread}
                    : value == "pool"   ? std::uint32_t{faults::other_threads}
                    : value == "worker" ? std::uint32_t{faults::worker}
                                        : std::uint32_t{faults::fork_server_process};
    } else if (name == "--mode") {
      options.mode = value;
    } else if (name == "--calls") {
      options.calls = names_in(value);
    } else if (name == "--but") {
      options.but = names_in(value);
    } else if (name == "--most") {
      options.most = std::stoull(value);
    } else if (name == "--spread") {
      options.spread = std::stoull(value);
    } else if (name == "--seconds") {
      options.seconds = std::stoi(value);
    } else if (name == "--seed") {
      options.seed = std::stoull(value);
    } else if (name == "--slice") {
      options.slice = std::stoull(value);
      options.slices = std::stoull(value.substr(value.find('/') + 1));
    } else if (name == "--parts") {
      options.parts = std::stoi(value);
    } else {
      throw std::invalid_argument("unknown option " + name);
    }
  }
  for (auto const* const list : {&options.calls, &options.but}) {
    for (std::string const& name : *list) {
      if (std::ranges::none_of(faults::calls,
                               [&](auto const& call) { return call.name == name; })) {
        throw std::invalid_argument("no call is named " + name);
      }
    }
  }
  return options;
}

// ---- the program

// Reads trials, one a line, and answers each with a line: what was wrong, or "well".
int program(Board& board, Options const& options) {
  std::setvbuf(stdout, nullptr, _IONBF, 0);
  for (Trial trial; std::cin >> trial.call >> trial.error >> trial.from >> trial.to >>
                    trial.per_mille >> trial.seed >> trial.each;) {
    board.call = static_cast<std::uint32_t>(trial.call);
    board.error = trial.error;
    board.who = options.who;
    board.each = trial.each ? 1 : 0;
    board.from = trial.from == 0 ? ~std::uint64_t{0} : trial.from;
    board.to = trial.to;
    board.per_mille = trial.per_mille;
    board.seed = trial.seed;
    board.count.store(0);
    board.refused.store(0);
    faults::Script script(board, options.start, trial.heals(options.who), options.part);
    script.begins = [](char const* step) {
      char line[64];  // no memory: that may be what fails
      int const length = std::snprintf(line, sizeof line, "@%s\n", step);
      std::fwrite(line, 1, static_cast<std::size_t>(length), stdout);
    };
    if (options.verbose) {
      script.said = [](char const* step, std::string const& text) {
        std::fprintf(stderr, "SAID %s: %s\n", step, text.c_str());
      };
    }
    std::string wrong = script.run();
    if (wrong.empty()) wrong = "well";
    std::ranges::replace(wrong, '\n', ' ');
    std::printf("%s\n", wrong.c_str());
  }
  return 0;
}

Board* map_board(char const* path) {
  int const fd = ::open(path, O_RDWR | O_CLOEXEC);
  void* const found = ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  if (fd < 0 || found == MAP_FAILED) throw std::runtime_error("the board cannot be mapped");
  return static_cast<Board*>(found);
}

// ---- the judge

class Program {
 public:
  Program(Options const& options, char** argv, std::string const& board)
      : options_(options), argv_(argv), board_path_(board) {}
  ~Program() { end(); }

  // What was wrong; empty: nothing.
  std::string run(Trial const& trial) {
    if (pid_ == 0) start();
    std::ostringstream line;
    line << trial.call << ' ' << trial.error << ' ' << trial.from << ' ' << trial.to << ' '
         << trial.per_mille << ' ' << trial.seed << ' ' << trial.each << '\n';
    if (::write(in_, line.str().data(), line.str().size()) < 0) return "the program is gone";
    auto const limit = Clock::now() + 20s;
    std::string step;
    for (;;) {
      auto const end = text_.find('\n');
      if (end == std::string::npos) {
        auto const left =
            std::chrono::duration_cast<std::chrono::milliseconds>(limit - Clock::now()).count();
        pollfd one{out_, POLLIN, 0};
        if (left <= 0 || ::poll(&one, 1, static_cast<int>(left)) <= 0) {
          if (options_.verbose) show_stacks();
          this->end();
          return "hangs in " + step;
        }
        char buffer[4096];
        ssize_t const got = ::read(out_, buffer, sizeof buffer);
        if (got <= 0) {
          int status = 0;
          ::waitpid(pid_, &status, 0);
          pid_ = 0;
          this->end();
          return "the program ended in " + step + ", " +
                 (WIFSIGNALED(status) ? ::strsignal(WTERMSIG(status))
                                      : "status " + std::to_string(WEXITSTATUS(status)));
        }
        text_.append(buffer, static_cast<std::size_t>(got));
        continue;
      }
      std::string answer = text_.substr(0, end);
      text_.erase(0, end + 1);
      if (answer.starts_with('@')) {
        step = answer.substr(1);
        continue;
      }
      if (answer == "well") answer.clear();
      // What is orphaned becomes our child.
      bool const alone = faults::soon(
          [this] {
            while (::waitpid(-1, nullptr, WNOHANG) > 0) {
            }
            return support::children_of(::getpid()).size() == 1;
          },
          2s);
      if (!alone) {
        answer += (answer.empty() ? "" : "; ") + std::string("workers are left");
        this->end();
      }
      return answer;
    }
  }

 private:
  void start() {
    int in[2];
    int out[2];
    if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) {
      throw std::runtime_error("no pipes");
    }
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    ::posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    if (!options_.verbose) {
      ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    }
    std::vector<std::string> variables{"LD_PRELOAD=" + options_.library,
                                       std::string(faults::board_variable) + "=" + board_path_};
    std::vector<char*> environment;
    for (std::string& variable : variables) environment.push_back(variable.data());
    for (char** own = environ; *own != nullptr; ++own) environment.push_back(*own);
    environment.push_back(nullptr);
    int const error =
        ::posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr, argv_, environment.data());
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(in[0]);
    ::close(out[1]);
    in_ = in[1];
    out_ = out[0];
    if (error != 0) throw std::runtime_error("the program cannot be started");
  }

  void end() {
    ::close(in_);
    ::close(out_);
    in_ = out_ = -1;
    text_.clear();
    // All that is left of it is ours, sooner or later.
    if (pid_ != 0) ::kill(pid_, SIGKILL);
    auto const none = [] {
      for (pid_t const child : support::children_of(::getpid())) ::kill(child, SIGKILL);
      while (::waitpid(-1, nullptr, WNOHANG) > 0) {
      }
      return support::children_of(::getpid()).empty();
    };
    faults::soon(none, 2s);
    pid_ = 0;
  }

  void show_stacks() const {
    std::string const command =
        "gdb -p " + std::to_string(pid_) + " -batch -ex 'thread apply all bt 25' 1>&2 2>/dev/null";
    static_cast<void>(!std::system(command.c_str()));
  }

  Options const& options_;
  char** const argv_;
  std::string const board_path_;
  pid_t pid_ = 0;
  int in_ = -1;
  int out_ = -1;
  std::string text_;
};

std::vector<Trial> trials_of(Options const& options, Board const& board) {
  std::vector<Trial> trials;
  for (std::size_t call = 0; call < faults::call_count; ++call) {
    std::string const name = faults::calls[call].name;
    if (!options.calls.empty() && std::ranges::find(options.calls, name) == options.calls.end()) {
      continue;
    }
    if (std::ranges::find(options.but, name) != options.but.end()) continue;
    std::uint64_t made = 0;
    for (std::size_t role = 0; role < faults::roles; ++role) {
      if ((options.who & (1u << role)) != 0) made += board.made[role][call].load();
    }
    std::uint64_t const most = std::min(options.most, made);
    for (int const error : faults::calls[call].errors) {
      if (error == 0) break;
      // Nobody is interrupted for ever. A push waits for as long as there are too many descriptors on
      // their way.
      bool const passes = error == EINTR ||
                          (options.part == faults::Script::Part::handles && error == ETOOMANYREFS);
      if (passes && options.mode == "from") continue;
      Trial trial;
      trial.call = call;
      trial.error = error;
      trial.each = options.mode == "each";
      std::uint64_t const count = options.spread != 0 ? std::min(options.spread, made) : most;
      for (std::uint64_t i = 0; i < count; ++i) {
        trial.from = options.spread != 0 ? 1 + i * made / count : 1 + i;
        trial.to = options.mode == "from" ? ~std::uint64_t{0} : trial.from;
        trials.push_back(trial);
      }
    }
  }
  return trials;
}

// The trials whose number leaves this rest. How many were wrong.
int judge(Options const& options, char** argv, int part) {
  // Orphans come to us.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::signal(SIGPIPE, SIG_IGN);
  char path[] = "/tmp/procpool-faults-XXXXXX";
  int const fd = ::mkstemp(path);
  if (fd < 0 || ::ftruncate(fd, sizeof(Board)) != 0) throw std::runtime_error("no board");
  ::close(fd);
  Board& board = *map_board(path);
  int wrong = 0;
  std::size_t tried = 0;
  std::size_t reached = 0;
  {
    Program program(options, argv, path);
    auto const check = [&](Trial const& trial) {
      std::string const what = program.run(trial);
      ++tried;
      reached += board.refused.load() != 0;
      if (what.empty()) return;
      ++wrong;
      std::cout << "WRONG " << options.start_name << ": " << trial.text() << ": "
                << what.substr(0, 500) << std::endl;
    };
    check(Trial());
    std::vector<Trial> trials;
    if (options.mode == "random") {
      auto const end = Clock::now() + std::chrono::seconds(options.seconds);
      auto const all = trials_of(options, board);
      std::uint64_t seed = options.seed * 1'000'003 + static_cast<std::uint64_t>(part);
      while (!all.empty() && Clock::now() < end && wrong < 20) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        Trial trial = all[(seed >> 33) % all.size()];
        constexpr std::uint32_t rates[] = {1, 5, 20, 100};
        trial.per_mille = rates[(seed >> 20) % 4];
        trial.seed = seed;
        check(trial);
      }
    } else {
      trials = trials_of(options, board);
      if (trials.empty()) ++wrong, std::cout << "WRONG: nothing to try" << std::endl;
    }
    auto const step = static_cast<std::size_t>(options.parts) * options.slices;
    for (std::size_t i = static_cast<std::size_t>(part) * options.slices + options.slice;
         i < trials.size() && wrong < 60; i += step) {
      check(trials[i]);
    }
  }
  ::unlink(path);
  std::cout << tried << " trials, in " << reached << " of them something failed, " << wrong
            << " wrong" << std::endl;
  return wrong;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Options const options = parse(argc, argv);
    if (char const* const path = ::getenv(faults::board_variable)) {
      return program(*map_board(path), options);
    }
    std::vector<pid_t> parts;
    for (int part = 0; part < options.parts; ++part) {
      pid_t const pid = ::fork();
      if (pid == 0) ::_exit(std::min(100, judge(options, argv, part)));
      parts.push_back(pid);
    }
    int wrong = 0;
    for (pid_t const pid : parts) {
      int status = 0;
      ::waitpid(pid, &status, 0);
      wrong += status != 0;
    }
    return wrong == 0 ? 0 : 1;
  } catch (std::exception const& error) {
    std::cerr << "faults: " << error.what() << '\n';
    return 2;
  }
}
