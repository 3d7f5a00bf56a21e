// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What word_count prints, and what it does when something is not as it should be.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iomanip>
#include <iostream>
#include <map>
#include <procpool.hpp>
#include <string>
#include <utility>
#include <vector>

#include "words.hpp"

// 1234567 -> 1,234,567
inline std::string grouped(std::uint64_t number) {
  auto text = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) {
    text.insert(static_cast<std::size_t>(at), ",");
  }
  return text;
}

inline void print_found(Found const& found, Options const& options) {
  std::cout << grouped(found.text_files.size()) << " text files below";
  for (auto const& directory : options.directories) {
    std::cout << ' ' << directory.string();
  }
  if (found.looked_at < found.seen) {
    std::cout << "\n(of " << grouped(found.looked_at) << " files, evenly spread over all "
              << grouped(found.seen) << "; --limit 0 takes all)";
  }
  std::cout << "\n\n";
}

inline void print_top(Tally const& tally, std::size_t most) {
  std::vector<std::pair<std::string, std::uint64_t>> words{tally.counts.begin(),
                                                           tally.counts.end()};
  most = std::min(most, words.size());
  std::ranges::partial_sort(words, words.begin() + static_cast<std::ptrdiff_t>(most),
                            [](auto const& a, auto const& b) {
                              return a.second != b.second ? a.second > b.second : a.first < b.first;
                            });
  for (std::size_t i = 0; i < most; ++i) {
    std::cout << std::setw(4) << i + 1 << "  " << std::left << std::setw(14) << words[i].first
              << std::right << std::setw(12) << grouped(words[i].second) << '\n';
  }
  std::uint64_t all = 0;
  for (auto const& [word, count] : words) {
    all += count;
  }
  std::cout << '\n'
            << grouped(tally.files) << " files, " << grouped(tally.bytes) << " bytes, "
            << grouped(all) << " words, " << grouped(words.size()) << " different ones\n";
}

// A file whose worker died over it.
struct Casualty {
  std::size_t file;
  procpool::WorkerDied why;
};

inline std::string reason(procpool::WorkerDied const& died) {
  if (auto const signal = died.signal()) {
    char const* const name = ::sigabbrev_np(*signal);
    return name != nullptr ? std::string{"SIG"} + name : "signal " + std::to_string(*signal);
  }
  if (auto const status = died.exit_status()) {
    return "exit status " + std::to_string(*status);
  }
  return "unknown";
}

inline void print_casualties(std::vector<Casualty> const& casualties,
                             std::vector<Job> const& jobs) {
  std::cout << "These files took their worker down; all others are counted:\n\n";
  for (auto const& [file, died] : casualties) {
    std::cout << "  " << std::left << std::setw(8) << reason(died) << std::right << "  task "
              << died.task() << " element " << std::setw(4) << died.element() << "  pid "
              << died.pid() << "  " << jobs[file].path << '\n';
  }
  std::cout << '\n';
}

inline void print_times(double loop, double pool, std::size_t workers,
                        std::vector<Casualty> const& casualties) {
  std::cout << std::fixed << std::setprecision(2) << "plain loop " << std::setw(8) << loop << " s\n"
            << std::setw(2) << workers << (workers == 1 ? " worker  " : " workers ") << std::setw(8)
            << pool << " s, " << loop / pool
            << " times as fast (starting and ending them included)\n";
  std::map<std::string, int> reasons;
  for (auto const& casualty : casualties) {
    ++reasons[reason(casualty.why)];
  }
  if (!reasons.empty()) {
    std::cout << "           while " << grouped(casualties.size())
              << " of them died and were replaced:";
    for (auto const& [name, count] : reasons) {
      std::cout << ' ' << count << " x " << name;
    }
    std::cout << '\n';
  }
}
