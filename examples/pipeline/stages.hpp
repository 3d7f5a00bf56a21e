// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The stages: each is a function that knows its queues, and nothing of processes.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ios>
#include <iterator>
#include <procpool.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unordered_set>
#include <vector>

struct Options {
  std::chrono::milliseconds time{0};
  std::string table;
  std::vector<std::string> folders;
};

struct Job {
  std::uint64_t number = 0;
  std::string path;
  std::uint64_t bytes = 0;  // as the reader has seen them
};

struct Row {
  Job job;
  std::uint64_t lines = 0;
  std::uint64_t words = 0;
};

struct Total {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  bool operator==(Total const&) const = default;
};

struct Written {
  Total total;
  std::uint64_t twice = 0;
};

inline Options parse_options(int argc, char** argv) {
  Options options;
  std::vector<std::string> arguments(argv + 1, argv + argc);
  auto argument = arguments.begin();
  if (arguments.size() >= 2 && *argument == "--seconds") {
    options.time = std::chrono::milliseconds(static_cast<long>(1000 * std::stod(argument[1])));
    argument += 2;
  }
  if (arguments.end() - argument < 2) {
    throw std::runtime_error("usage: pipeline [--seconds S] TABLE FOLDER...");
  }
  options.table = *argument++;
  options.folders.assign(argument, arguments.end());
  return options;
}

// Sends a job for each file, and closes the queue.
inline Total find_files(Options const& options, procpool::Queue<Job> const& jobs) {
  namespace fs = std::filesystem;
  Total total;
  auto const end = std::chrono::steady_clock::now() + options.time;
  do {
    for (auto const& folder : options.folders) {
      for (auto const& entry : fs::recursive_directory_iterator(folder)) {
        if (!entry.is_regular_file()) continue;
        auto const bytes = static_cast<std::uint64_t>(entry.file_size());
        jobs.push({total.files++, entry.path().string(), bytes});  // waits while the queue is full
        total.bytes += bytes;
      }
    }
  } while (std::chrono::steady_clock::now() < end);
  jobs.close();
  return total;
}

// Takes jobs until there are no more. May be killed at any moment.
inline void parse(procpool::Queue<Job> const& jobs, procpool::Queue<Row> const& rows) {
  for (auto const& job : jobs) {
    std::ifstream file(job.path, std::ios::binary);
    Row row{job};
    row.job.bytes = 0;
    for (std::string line; std::getline(file, line); ++row.lines) {
      row.job.bytes += line.size() + (file.eof() ? 0 : 1);
      std::istringstream text(line);
      row.words +=
          static_cast<std::uint64_t>(std::distance(std::istream_iterator<std::string>(text), {}));
    }
    rows.push(row);
  }
}

// Writes each row once.
inline Written write_table(std::string const& table, procpool::Queue<Row> const& rows) {
  std::ofstream out(table);
  std::unordered_set<std::uint64_t> known;
  Written written;
  for (auto const& row : rows) {
    if (!known.insert(row.job.number).second) {
      ++written.twice;
      continue;
    }
    out << row.job.path << '\t' << row.lines << '\t' << row.words << '\n';
    ++written.total.files;
    written.total.bytes += row.job.bytes;
  }
  if (!out.flush()) throw std::runtime_error("cannot write " + table);
  return written;
}
