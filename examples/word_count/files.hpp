// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Finds the plain text files below some directories, and reads files.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ios>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "options.hpp"

inline std::string read_file(std::string const& path) {
  std::ifstream file{path, std::ios::binary};
  std::string text(std::filesystem::file_size(path), '\0');
  if (!file.read(text.data(), static_cast<std::streamsize>(text.size()))) {
    throw std::runtime_error{"cannot read " + path};
  }
  return text;
}

// Compressed files are told by their names, since small ones may look like text.
inline bool looks_readable(std::filesystem::directory_entry const& entry) {
  constexpr std::uintmax_t largest = 8 << 20;
  constexpr std::array<std::string_view, 7> compressed{".gz",  ".bz2", ".xz", ".zst",
                                                       ".zip", ".tgz", ".lz"};
  std::error_code error;
  return entry.is_regular_file(error) && !entry.is_symlink(error) &&
         std::ranges::find(compressed, entry.path().extension().string()) == compressed.end() &&
         entry.file_size(error) <= largest && !error;
}

struct Found {
  std::vector<std::string> text_files;  // in order of their paths
  std::size_t looked_at = 0;            // files that were read to see whether they are text
  std::size_t seen = 0;                 // files that could have been
};

inline Found find_text_files(Options const& options) {
  namespace fs = std::filesystem;
  std::vector<std::string> seen;
  for (auto const& directory : options.directories) {
    auto const skip = fs::directory_options::skip_permission_denied;
    for (auto const& entry : fs::recursive_directory_iterator{directory, skip}) {
      if (looks_readable(entry)) {
        seen.push_back(entry.path().string());
      }
    }
  }
  std::ranges::sort(seen);
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());

  Found found;
  found.seen = seen.size();
  found.looked_at = options.limit == 0 ? seen.size() : std::min(options.limit, seen.size());
  for (std::size_t i = 0; i < found.looked_at; ++i) {
    auto const& path = seen[i * seen.size() / found.looked_at];
    if (std::ifstream{path} && read_file(path).find('\0') == std::string::npos) {
      found.text_files.push_back(path);
    }
  }
  return found;
}
