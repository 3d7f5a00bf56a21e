// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Counts the words of many files on all machines of an MPI job, or on this one:
//
//     cluster_word_count FOLDER...
//     mpiexec -n 4 cluster_word_count FOLDER...
//
// Both print the same. All machines see the folders at the same place. It is built with PROCPOOL_MPI=ON.

#include <algorithm>
#include <cstdint>
#include <exception>
#include <functional>
#include <iostream>
#include <procpool.hpp>
#include <procpool/mpi.hpp>
#include <string>
#include <utility>
#include <vector>

#include "word_count/words.hpp"

int main(int argc, char** argv) try {
  Options options;
  options.directories.assign(argv + 1, argv + argc);
  std::vector<Job> jobs;
  for (auto const& path : find_text_files(options).text_files) jobs.push_back({path});

  procpool::ProcessPool pool{{.engine = procpool::mpi()}};
  Tally tally;
  for (auto [index, words] : pool.imap_unordered<count_words>(jobs)) {
    tally.add(std::move(words));
  }

  std::vector<std::pair<std::uint64_t, std::string>> top;
  for (auto const& [word, count] : tally.counts) top.emplace_back(count, word);
  std::ranges::sort(top, std::greater());
  top.resize(std::min<std::size_t>(top.size(), 10));
  std::cout << tally.files << " files, " << tally.bytes << " bytes\n";
  for (auto const& [count, word] : top) std::cout << word << ' ' << count << '\n';
  return 0;
} catch (std::exception const& error) {
  std::cerr << "cluster_word_count: " << error.what() << '\n';
  return 1;
}
