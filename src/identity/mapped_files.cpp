// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "identity/mapped_files.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string_view>

namespace procpool::inline v0_1::identity {
namespace {

constexpr std::string_view deleted_mark = " (deleted)";

// Takes a number off the front, and the character behind it.
template <class Number>
bool take(std::string_view& rest, Number& number, int base) {
  char const* const stop = rest.data() + rest.size();
  auto const part = std::from_chars(rest.data(), stop, number, base);
  if (part.ec != std::errc{} || part.ptr == stop) return false;
  rest.remove_prefix(static_cast<std::size_t>(part.ptr - rest.data()) + 1);
  return true;
}

bool skip_word(std::string_view& rest) {
  auto const end = rest.find(' ');
  if (end == std::string_view::npos) return false;
  rest.remove_prefix(end + 1);
  return true;
}

// begin-end rwxp offset major:minor inode   path
std::optional<MappedFile> parse(std::string_view rest) {
  MappedFile file;
  std::uint64_t major = 0;
  std::uint64_t minor = 0;
  if (!take(rest, file.begin, 16) || !take(rest, file.end, 16) || !skip_word(rest) ||
      !skip_word(rest) || !take(rest, major, 16) || !take(rest, minor, 16) ||
      !take(rest, file.inode, 10)) {
    return std::nullopt;
  }
  file.device = (major << 32) | minor;
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  if (!rest.starts_with('/')) return std::nullopt;
  file.path = rest;
  file.deleted = cut_deleted(file.path);
  return file;
}

template <class Visit>  // returns true to stop
void visit_lines(Visit visit) {
  std::ifstream maps("/proc/thread-self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (auto file = parse(line); file && visit(*file)) return;
  }
}

}  // namespace

bool cut_deleted(std::string& path) {
  if (!path.ends_with(deleted_mark)) return false;
  path.resize(path.size() - deleted_mark.size());
  return true;
}

std::vector<MappedFile> mapped_files() {
  std::vector<MappedFile> files;
  visit_lines([&](MappedFile& file) {
    files.push_back(std::move(file));
    return false;
  });
  return files;
}

std::optional<MappedFile> mapped_file(std::uintptr_t address) {
  std::optional<MappedFile> found;
  visit_lines([&](MappedFile& file) {
    if (address < file.begin || address >= file.end) return false;
    found = std::move(file);
    return true;
  });
  return found;
}

}  // namespace procpool::inline v0_1::identity
