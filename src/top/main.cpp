// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// procpool-top: the pools of a running program, in the terminal.

#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "os/text.hpp"
#include "top/live_view_reader.hpp"
#include "top/pool_table.hpp"
#include "top/process_table.hpp"
#include "top/screen.hpp"

namespace {

using namespace std::chrono_literals;
using namespace procpool::top;

// A pool whose dispatcher gets no processor for so long is told as one that does not answer.
constexpr auto patience = 2s;

class ProgramView {
 public:
  explicit ProgramView(pid_t pid) : pid_(pid), in_our_namespace_(own_number_of(pid) == pid) {}

  // The pools as they are now. Blocks until each has answered. Throws std::system_error if the program has ended.
  std::vector<std::string> lines(std::size_t columns) {
    std::vector<std::string> lines{procpool::os::one_line(program_of(pid_)) + ", process " +
                                   std::to_string(pid_)};
    std::map<std::uint64_t, PoolTable> tables;
    for (LiveViewReader& reader : LiveViewReader::of(pid_)) {
      lines.emplace_back();
      if (!reader.known()) {
        lines.emplace_back(
            "a pool of another version of procpool: look with the procpool-top of that version");
        continue;
      }
      auto view = reader.look(patience);
      if (!view) {
        lines.emplace_back("a pool that does not answer: it has ended, or its program is stopped");
        continue;
      }
      PoolTable table;
      if (auto const known = tables_.find(reader.id()); known != tables_.end())
        table = std::move(known->second);
      auto usages = usages_of(*view);
      table.update(*std::move(view), std::move(usages));
      for (std::string& line : table.lines(columns)) lines.push_back(std::move(line));
      tables.emplace(reader.id(), std::move(table));
    }
    if (lines.size() == 1) {
      lines.emplace_back();
      lines.emplace_back("no pool here has begun to work");
    }
    tables_ = std::move(tables);
    return lines;
  }

 private:
  PoolTable::Usages usages_of(procpool::protocol::LiveView const& view) const {
    PoolTable::Usages usages;
    // Numbers of processes in another namespace mean others here.
    if (!in_our_namespace_) return usages;
    for (auto const& worker : view.workers) {
      if (worker.pid <= 0) continue;
      if (auto const usage = usage_of(worker.pid)) usages.emplace(worker.pid, *usage);
    }
    return usages;
  }

  pid_t const pid_;
  bool const in_our_namespace_;
  std::map<std::uint64_t, PoolTable> tables_;  // by LiveViewReader::id
};

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
    std::cout << pid << "  " << procpool::os::one_line(program_of(pid)) << "  " << pools
              << (pools == 1 ? " pool\n" : " pools\n");
  }
  if (!any) std::cout << "no process that you may look into has a pool that works\n";
}

void print(std::vector<std::string> const& lines) {
  for (std::string const& line : lines) std::cout << line << '\n';
}

int show(pid_t pid, bool once, std::chrono::milliseconds interval) {
  constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();
  ProgramView program(pid);
  if (once || !Screen::is_there()) {
    print(program.lines(no_limit));
    return EXIT_SUCCESS;
  }
  std::vector<std::string> last;
  try {
    Screen screen;
    do {
      last = program.lines(screen.size().columns);
      auto lines = last;
      lines.insert(lines.begin() + 1, "q ends this view");
      screen.show(lines);
    } while (screen.wait(interval));
  } catch (std::system_error const&) {
    if (last.empty()) throw;
    last.emplace_back("the program has ended");
  }
  print(last);
  return EXIT_SUCCESS;
}

std::string reason(std::system_error const& error, pid_t pid) {
  std::string const process = "process " + std::to_string(pid);
  if (error.code() == std::errc::permission_denied) {
    return process + " cannot be looked into: it belongs to another user, or must not be read; try "
                     "as that user or as root";
  }
  if (error.code() == std::errc::no_such_file_or_directory) return "there is no " + process;
  return error.what();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Shows what the pools of a running program do. Without a process: which programs "
               "have pools.");
  pid_t pid = 0;
  bool once = false;
  double seconds = 1;
  app.add_option("PID", pid, "the process that has the pools")->check(CLI::PositiveNumber);
  app.add_flag("--once", once, "print one view and end, as without a terminal");
  app.add_option("--interval", seconds, "seconds from one view to the next")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  app.set_version_flag("--version", PROCPOOL_VERSION);
  CLI11_PARSE(app, argc, argv);

  // A pool that ends while it is asked.
  ::signal(SIGPIPE, SIG_IGN);
  try {
    if (pid == 0) {
      list_programs();
      return EXIT_SUCCESS;
    }
    return show(pid, once, std::chrono::milliseconds(static_cast<long>(seconds * 1000)));
  } catch (std::system_error const& error) {
    std::cerr << "procpool-top: " << reason(error, pid) << '\n';
  }
  return EXIT_FAILURE;
}
