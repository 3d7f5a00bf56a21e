// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What the command line of word_count says.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct Options {
  std::vector<std::filesystem::path> directories;
  std::size_t limit = 20'000;  // files; 0: all
  std::optional<unsigned> workers;
  bool hostile = false;
};

[[noreturn]] inline void usage(std::string_view complaint) {
  if (!complaint.empty()) {
    std::cerr << "word_count: " << complaint << "\n\n";
  }
  (complaint.empty() ? std::cout : std::cerr)
      << "word_count [--hostile] [--workers N] [--limit N] [DIRECTORY...]\n"
         "  --hostile    let the function crash on every 50th and every 77th file\n"
         "  --workers N  worker processes (default: one per usable CPU)\n"
         "  --limit N    take at most N files, evenly spread; 0: all (default: 20000)\n"
         "  DIRECTORY    where to look (default: this machine's documentation and headers)\n";
  std::exit(complaint.empty() ? 0 : 2);
}

template <class Number>
Number number(std::string_view option, std::string_view text) {
  Number value = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    usage(std::string{option} + " needs a number");
  }
  return value;
}

inline Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    std::string_view const word{argv[i]};
    auto const value = [&] { return std::string_view{i + 1 < argc ? argv[++i] : ""}; };
    if (word == "--hostile") {
      options.hostile = true;
    } else if (word == "--workers") {
      options.workers = number<unsigned>(word, value());
    } else if (word == "--limit") {
      options.limit = number<std::size_t>(word, value());
    } else if (word == "--help" || word == "-h") {
      usage("");
    } else if (word.starts_with('-')) {
      usage("there is no option " + std::string{word});
    } else if (!std::filesystem::is_directory(word)) {
      usage("there is no directory " + std::string{word});
    } else {
      options.directories.emplace_back(word);
    }
  }
  if (options.directories.empty()) {
    options.directories = {"/usr/share/doc", "/usr/include", "/usr/share/common-licenses"};
    std::erase_if(options.directories, [](auto const& path) { return !is_directory(path); });
  }
  return options;
}
