// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// An analyser of C files with two bugs of its own, over a tree that has the files for both. The
// report says which file took how it down, and is complete for all others.

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <procpool.hpp>
#include <string>
#include <vector>

#include "inputs/source_tree.hpp"

namespace fs = std::filesystem;
using namespace std::chrono_literals;

struct Finding {
  long line;
  std::string text;
};

// Recursion: deep nesting overflows the stack.
char const* skip_group(char const* at) {
  while (*at != '\0' && *at != ')') at = *at == '(' ? skip_group(at + 1) : at + 1;
  return *at == ')' ? at + 1 : at;
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
  std::ifstream stream(file);
  std::string const text = without_comments({std::istreambuf_iterator<char>(stream), {}});
  std::vector<Finding> findings;
  for (char const* at = text.c_str(); *at != '\0'; ++at) {
    for (char const* name : {"gets(", "strcpy("}) {
      if (std::strncmp(at, name, std::strlen(name)) != 0) continue;
      findings.push_back({1 + std::count(text.c_str(), at, '\n'), std::string(name) + ')'});
    }
    if (*at == '(') at = skip_group(at + 1) - 1;
  }
  return findings;
}

int main() {
  inputs::Folder const folder;
  inputs::write_source_tree(folder);
  std::vector<fs::path> files;
  for (auto const& entry : fs::recursive_directory_iterator(folder.path())) {
    if (entry.path().extension() == ".c") files.push_back(entry.path());
  }
  std::ranges::sort(files);

  procpool::ProcessPool pool{{.workers = 2, .defaults = {.timeout = 1s}}};
  std::size_t number = 0;
  for (auto const& outcome : pool.outcomes().imap<analyse>(files)) {
    std::string const name = fs::relative(files[number++], folder.path()).string();
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
