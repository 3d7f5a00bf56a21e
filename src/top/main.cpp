// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// procpool-top: the pools of a running program, in the terminal.

#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "os/text.hpp"
#include "top/live_view_reader.hpp"
#include "top/process_table.hpp"
#include "top/program_view.hpp"
#include "top/screen.hpp"

namespace {

namespace os = procpool::os;
using namespace procpool::top;

bool has_ended(std::system_error const& error) {
  return error.code() == std::errc::no_such_process ||
         error.code() == std::errc::no_such_file_or_directory;
}

std::string reason(std::system_error const& error, pid_t pid) {
  std::string const process = "process " + std::to_string(pid);
  if (error.code() == std::errc::permission_denied) {
    return process + " cannot be looked into: it belongs to another user, or must not be read; try "
                     "as that user or as root";
  }
  if (error.code() == std::errc::no_such_process) return process + " has ended";
  if (has_ended(error)) return "there is no " + process;
  return process + " cannot be looked into: " + error.what();
}

void list_programs() {
  bool any = false;
  for (pid_t const pid : processes()) {
    std::size_t pools = 0;
    try {
      pools = LiveViewReader::of(pid).size();
    } catch (std::system_error const&) {  // it has ended meanwhile
    }
    if (pools == 0) continue;
    any = true;
    std::cout << pid << "  " << os::one_line(program_of(pid)) << "  " << pools
              << (pools == 1 ? " pool\n" : " pools\n");
  }
  if (!any) std::cout << "no process that you may look into has a pool that works\n";
}

void print(std::vector<std::string> const& lines) {
  for (std::string const& line : lines) std::cout << line << '\n';
}

int fail(std::string_view sentence) {
  std::cerr << "procpool-top: " << sentence << '\n';
  return EXIT_FAILURE;
}

// What was written has arrived.
int written() {
  errno = 0;
  std::cout.flush();
  if (std::cout) return EXIT_SUCCESS;
  return fail("standard output cannot be written: " + std::generic_category().message(errno));
}

int result_of(ProgramView const& program, pid_t pid) {
  int const result = written();
  if (result != EXIT_SUCCESS || program.any()) return result;
  std::string const& why = program.why_none();
  return fail("process " + std::to_string(pid) + " has shown no pool" +
              (why.empty() ? "" : ": " + why));
}

int show(pid_t pid, bool once, std::chrono::milliseconds interval) {
  constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();
  ProgramView program(pid);
  if (once || !Screen::is_there()) {
    print(program.lines(no_limit, [](std::chrono::milliseconds time) {
      std::this_thread::sleep_for(time);
      return true;
    }));
    return result_of(program, pid);
  }
  std::vector<std::string> last;
  try {
    Screen screen;
    bool goes_on = true;
    while (goes_on) {
      auto lines = program.lines(screen.size().columns, [&](std::chrono::milliseconds time) {
        return goes_on = screen.wait(time);
      });
      if (!goes_on) break;  // the view is not whole
      last = lines;
      lines.insert(lines.begin() + 1, "q ends this view");
      screen.show(lines);
      goes_on = screen.wait(interval);
    }
  } catch (std::system_error const& error) {
    if (last.empty()) throw;
    last.emplace_back(has_ended(error) ? "the program has ended" : reason(error, pid));
  }
  print(last);
  return result_of(program, pid);
}

// Arguments are shown in a line, and not all of a long one.
std::string shown(std::string_view text) { return os::one_line(os::cut(text, 60)); }

template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Shows what the pools of a running program do. Without a process: which programs "
               "have pools.");
  std::optional<std::string> process;
  bool once = false;
  std::string interval = "1";
  app.add_option("PID", process, "the process that has the pools");
  app.add_flag("--once", once, "print one view and end, as without a terminal");
  app.add_option("--interval", interval, "seconds from one view to the next, 0.1 to 3600")
      ->capture_default_str();
  app.set_version_flag("--version", PROCPOOL_VERSION);
  try {
    app.parse(argc, argv);
  } catch (CLI::ParseError const& error) {
    if (error.get_exit_code() != 0) {
      return fail(shown(error.what()) + "; procpool-top --help says what may stand here");
    }
    app.exit(error);
    return written();
  }
  auto const seconds = number<double>(interval);
  if (!seconds || !(*seconds >= 0.1 && *seconds <= 3600)) {
    return fail("--interval is \"" + shown(interval) + "\"; it must be from 0.1 to 3600 seconds");
  }
  auto const pid = process ? number<pid_t>(*process) : 0;
  if (!pid || (process && *pid <= 0)) {
    return fail('"' + shown(*process) +
                "\" is no number of a process; procpool-top alone lists those that have pools");
  }

  // A pool that ends while it is asked.
  ::signal(SIGPIPE, SIG_IGN);
  try {
    if (!process) {
      list_programs();
      return written();
    }
    return show(*pid, once, std::chrono::milliseconds(static_cast<long>(*seconds * 1000)));
  } catch (std::system_error const& error) {
    return fail(reason(error, *pid));
  }
}
