// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A pipeline of processes: a reader finds files, parsers count their lines and words, one writer
// makes a table of them. Meanwhile a parser is killed every 100 ms, and replaced.
//
//   files -> reader -> Queue<Job> -> parsers -> Queue<Row> -> writer -> table
//
// No file is lost: a job in the hands of a parser that dies is given to another one. A parser may
// have passed its row on before it died, so a row can come twice. The writer knows it by its number.
//
//   pipeline [--seconds S] TABLE FOLDER...       reads the folders again and again for S seconds

#include <chrono>
#include <csignal>
#include <cstddef>
#include <exception>
#include <iostream>
#include <procpool.hpp>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/stages.hpp"

namespace {

constexpr std::size_t parsers = 3;
constexpr std::chrono::milliseconds kill_every{100};

procpool::Process<void> start_parser(procpool::Queue<Job> const& jobs,
                                     procpool::Queue<Row> const& rows) {
  return procpool::Process{{.name = "parser"}, parse, jobs, rows};
}

// Keeps parsers running, in spite of the kills, until all have ended by themselves: there are no
// more jobs, and none can be given again.
int parse_all(procpool::Queue<Job> const& jobs, procpool::Queue<Row> const& rows) {
  std::vector<procpool::Process<void>> running;
  while (running.size() < parsers) running.push_back(start_parser(jobs, rows));
  int kills = 0;
  for (std::size_t victim = 0; !running.empty(); ++victim) {
    auto& parser = running[victim % running.size()];
    if (!parser.join_for(kill_every)) parser.kill();
    parser.join();
    if (parser.exit_signal() == SIGKILL) {
      ++kills;
      parser = start_parser(jobs, rows);
    } else {
      parser.get();  // throws what parse has thrown
      std::swap(parser, running.back());
      running.pop_back();
    }
  }
  return kills;
}

}  // namespace

int main(int argc, char** argv) try {
  Options const options = parse_options(argc, argv);
  procpool::Queue<Job> const jobs{{.items = 64, .redeliver = 100}};
  procpool::Queue<Row> const rows{{.items = 64}};

  procpool::Process reader{{.name = "reader"}, find_files, options, jobs};
  procpool::Process writer{{.name = "writer"}, write_table, options.table, rows};
  int const kills = parse_all(jobs, rows);
  rows.close();

  Total const sent = reader.get();
  Written const written = writer.get();
  std::clog << sent.files << " files, " << sent.bytes << " bytes; " << kills
            << " parsers were killed, " << written.twice << " rows came twice\n";

  bool const complete = written.total == sent && jobs.lost() == 0;
  std::cout << (complete ? "every file has its row" : "rows are missing")
            << (kills > 0 ? ", and parsers were killed\n" : "\n");
  return complete ? 0 : 1;
} catch (std::exception const& error) {
  std::cerr << error.what() << '\n';
  return 2;
}
