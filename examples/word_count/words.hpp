// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The work: what a worker does with one file, and the sum over many.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "files.hpp"

enum class Trap { none, null_dereference, abort };

// One task: both are plain structs, so they travel as they are.
struct Job {
  std::string path;
  Trap trap = Trap::none;
};

struct FileWords {
  std::uint64_t bytes = 0;
  std::vector<std::pair<std::string, std::uint32_t>> counts;
};

// A word is a run of letters, without regard to their case. Bytes beyond ASCII belong to words, so
// that names in UTF-8 stay whole.
template <class Visitor>
void for_each_word(std::string& text, Trap trap, Visitor visit) {
  int volatile* volatile nowhere = nullptr;  // volatile, or the compiler would drop the bug
  std::size_t length = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    auto const c = i < text.size() ? static_cast<unsigned char>(text[i]) : ' ';
    if ((c >= 'a' && c <= 'z') || c >= 0x80) {
      ++length;
    } else if (c >= 'A' && c <= 'Z') {
      text[i] = static_cast<char>(c - 'A' + 'a');
      ++length;
    } else if (length > 0) {
      visit(std::string_view{text}.substr(i - length, length));
      length = 0;
    }
    if (trap != Trap::none && i == text.size() / 2) {
      if (trap == Trap::abort) {
        std::abort();
      }
      *nowhere = 1;
    }
  }
}

inline FileWords count_words(Job const& job) {
  auto text = read_file(job.path);
  std::unordered_map<std::string_view, std::uint32_t> counts;
  for_each_word(text, job.trap, [&](std::string_view word) { ++counts[word]; });
  return {text.size(), {counts.begin(), counts.end()}};
}

struct Tally {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::unordered_map<std::string, std::uint64_t> counts;

  void add(FileWords&& file) {
    ++files;
    bytes += file.bytes;
    for (auto& [word, count] : file.counts) {
      counts[std::move(word)] += count;
    }
  }
  bool operator==(Tally const&) const = default;
};
