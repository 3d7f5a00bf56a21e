// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// An analyser of C files with two bugs of its own, over a tree that has the files for both. The
// report says which file took how it down, and is complete for all others.

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <procpool.hpp>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "inputs/source_tree.hpp"

namespace fs = std::filesystem;

using Finding = std::pair<long, std::string>;  // line and text

// Recursion: deep nesting overflows the stack.
int depth_of(char const*& at) {
  int deepest = 0;
  while (*at != '\0' && *at++ != ')') {
    if (at[-1] == '(') deepest = std::max(deepest, depth_of(at));
  }
  return deepest + 1;
}

// A loop that does not end: behind a comment without an end it begins again.
std::string without_comments(std::string text) {
  for (std::size_t from = 0; (from = text.find("/*", from)) != std::string::npos;) {
    std::size_t const to = text.find("*/", from);
    if (to != std::string::npos) std::fill(text.begin() + from, text.begin() + to + 2, ' ');
  }
  return text;
}

std::vector<Finding> analyse(fs::path const& file) {
  std::ostringstream content;
  content << std::ifstream(file).rdbuf();
  std::string const text = without_comments(content.str());
  std::vector<Finding> findings;
  long line = 1;
  for (char const* at = text.c_str(); *at != '\0'; ++at) {
    char const* group = at + 1;
    line += *at == '\n' ? 1 : 0;
    if (std::strncmp(at, "gets(", 5) == 0) findings.emplace_back(line, "gets()");
    if (*at == '(' && depth_of(group) > 4) findings.emplace_back(line, "deep nesting");
  }
  return findings;
}

int main() {
  inputs::Folder const folder;
  inputs::write_source_tree(folder);
  std::set<fs::path> files;
  for (auto const& entry : fs::recursive_directory_iterator(folder.path())) {
    if (entry.path().extension() == ".c") files.insert(entry.path());
  }
  procpool::ProcessPool pool{{.workers = 2, .defaults = {.timeout = std::chrono::seconds(3)}}};
  auto file = files.begin();
  for (auto const& outcome : pool.outcomes().imap<analyse>(files)) {
    std::string const name = fs::relative(*file++, folder.path()).string();
    if (outcome) {
      for (auto const& [line, text] : *outcome)
        std::cout << name << ':' << line << ": " << text << '\n';
    } else if (auto const* died = outcome.error().as<procpool::WorkerDied>()) {
      std::string const function = died->stack().empty() ? "?" : died->stack().front().function;
      std::cout << name << ": crashed in " << function.substr(0, function.find('(')) << '\n';
    } else {
      std::cout << name << ": took too long\n";
    }
  }
}
