// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The memory that a worker shares with the program. A fault in a task would find it in the same
// way, by search.

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "processes.hpp"

namespace support {

struct Memory {
  std::byte* begin = nullptr;
  std::size_t size = 0;
  std::string first_range;  // as in /proc/self/map_files
};

// The part of this process' memory that has this name: from the first of its mappings to the last.
inline Memory find_memory(std::string const& name) {
  Memory memory;
  for (std::string const& line : mappings_of(::getpid())) {
    if (line.find("/memfd:" + name) == std::string::npos) continue;
    unsigned long from = 0;
    unsigned long to = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx", &from, &to) != 2) continue;
    auto* const address = reinterpret_cast<std::byte*>(from);
    if (memory.begin == nullptr) {
      memory.begin = address;
      memory.first_range = line.substr(0, line.find(' '));
    }
    memory.size = to - reinterpret_cast<std::uintptr_t>(memory.begin);
  }
  if (memory.begin == nullptr) throw std::runtime_error("this process has no " + name);
  return memory;
}

// All that it shares and may write to.
inline std::vector<Memory> writable_shared_memory() {
  std::vector<Memory> all;
  for (std::string const& line : mappings_of(::getpid())) {
    unsigned long from = 0;
    unsigned long to = 0;
    char permissions[5] = {};
    if (!is_memory_of_a_pool(line) ||
        std::sscanf(line.c_str(), "%lx-%lx %4s", &from, &to, permissions) != 3 ||
        std::string(permissions) != "rw-s") {
      continue;
    }
    all.push_back({reinterpret_cast<std::byte*>(from), to - from, line.substr(0, line.find(' '))});
  }
  return all;
}

}  // namespace support
