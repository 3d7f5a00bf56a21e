// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Looking at processes through /proc: who lives, who is whose child, what is open and mapped.

#include <dirent.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

#include "support/until.hpp"

namespace support {

inline std::string read_text(std::string const& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();  // a process that ends meanwhile is a short text, not an exception
  return text.str();
}

struct ProcessStat {
  char state = '\0';  // '\0': there is no such process
  pid_t parent = 0;
  pid_t group = 0;
};

inline ProcessStat stat_of(pid_t pid) {
  std::string const text = read_text("/proc/" + std::to_string(pid) + "/stat");
  auto const name_end = text.rfind(')');
  if (name_end == std::string::npos) return {};
  std::istringstream fields(text.substr(name_end + 1));
  ProcessStat stat;
  fields >> stat.state >> stat.parent >> stat.group;
  return stat;
}

// A zombie has ended: what is left of it is a line in a table.
inline bool alive(pid_t pid) {
  char const state = stat_of(pid).state;
  return state != '\0' && state != 'Z' && state != 'X';
}

inline bool asleep(pid_t pid) { return stat_of(pid).state == 'S'; }

inline std::vector<pid_t> numbers_in(char const* folder) {
  std::vector<pid_t> numbers;
  DIR* const directory = ::opendir(folder);
  if (directory == nullptr) return numbers;
  while (dirent const* const entry = ::readdir(directory)) {
    char const* const end = entry->d_name + std::strlen(entry->d_name);
    int number = 0;
    auto const [stop, error] = std::from_chars(entry->d_name, end, number);
    if (error == std::errc() && stop == end) numbers.push_back(number);
  }
  ::closedir(directory);
  return numbers;
}

// Zombies too.
inline std::set<pid_t> children_of(pid_t parent) {
  std::set<pid_t> children;
  for (pid_t const pid : numbers_in("/proc")) {
    if (stat_of(pid).parent == parent) children.insert(pid);
  }
  return children;
}

// Is this line of a process' maps, or target of a descriptor, memory of a pool? By the name of its
// file alone: the program's own path may hold any word.
inline bool is_memory_of_a_pool(std::string const& text) {
  return text.find("/memfd:procpool ") != std::string::npos;
}

inline std::string proc(pid_t pid, std::string const& what) {
  return "/proc/" + std::to_string(pid) + "/" + what;
}

// Number -> what it refers to, as the kernel names it. The one that reads the list is left out.
inline std::map<int, std::string> descriptors_of(pid_t pid) {
  std::map<int, std::string> found;
  for (int const number : numbers_in(proc(pid, "fd").c_str())) {
    std::error_code error;
    auto const target =
        std::filesystem::read_symlink(proc(pid, "fd/" + std::to_string(number)), error);
    if (error) continue;
    if (target.string() == proc(pid, "fd")) continue;
    found[number] = target.string();
  }
  return found;
}

inline std::size_t threads_of(pid_t pid) { return numbers_in(proc(pid, "task").c_str()).size(); }

inline std::vector<std::string> mappings_of(pid_t pid) {
  std::vector<std::string> lines;
  std::ifstream file(proc(pid, "maps"));
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

// The file that this address of this process lies in; 0: in none.
inline std::uint64_t inode_at(void const* address) {
  for (std::string const& line : mappings_of(::getpid())) {
    unsigned long begin = 0;
    unsigned long end = 0;
    unsigned long inode = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx %*s %*s %*s %lu", &begin, &end, &inode) == 3 &&
        begin <= reinterpret_cast<std::uintptr_t>(address) &&
        reinterpret_cast<std::uintptr_t>(address) < end) {
      return inode;
    }
  }
  return 0;
}

inline bool maps(pid_t pid, std::string const& what) {
  return read_text(proc(pid, "maps")).find(what) != std::string::npos;
}

inline bool holds(pid_t pid, std::string const& what) {
  for (auto const& [number, target] : descriptors_of(pid)) {
    if (target.find(what) != std::string::npos) return true;
  }
  return false;
}

// In KiB; 0 if the machine does not say.
inline std::uint64_t memory_available() {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("MemAvailable:")) return std::strtoull(line.c_str() + 13, nullptr, 10);
  }
  return 0;
}

inline std::set<std::string> shared_memory_names() {
  std::set<std::string> names;
  std::error_code error;
  for (auto const& entry : std::filesystem::directory_iterator("/dev/shm", error)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

// Shared memory has no names but these. Other programs have some too, which go with them.
inline bool no_names_but(std::set<std::string> const& before) {
  return until([&] { return std::ranges::includes(before, shared_memory_names()); });
}

}  // namespace support
