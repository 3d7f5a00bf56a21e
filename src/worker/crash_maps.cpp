// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "worker/crash_maps.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string_view>

namespace procpool::inline v0_1::worker {
namespace {

using channel::CrashModule;
using channel::CrashWords;

std::array<char, 16 * 1024> text;  // used once, by the thread that crashed

void set(channel::CrashWord& word, std::uint64_t value) noexcept {
  word.store(value, std::memory_order_relaxed);  // see crash_handler.cpp
}
std::uint64_t get(channel::CrashWord const& word) noexcept {
  return word.load(std::memory_order_relaxed);
}

int open_for_reading(char const* path) noexcept {
  int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
    // If no descriptor is left, the report is worth more than standard input.
    ::close(STDIN_FILENO);
    fd = ::open(path, O_RDONLY | O_CLOEXEC);
  }
  return fd;
}

ssize_t read_some(int fd, char* into, std::size_t room) noexcept {
  ssize_t got = -1;
  do got = ::read(fd, into, room);
  while (got < 0 && errno == EINTR);
  return got;
}

// Removes a number from the front, and the character behind it.
std::uint64_t number(std::string_view& from, unsigned base) noexcept {
  std::uint64_t value = 0;
  while (!from.empty()) {
    char const c = from.front();
    from.remove_prefix(1);
    unsigned digit = base;
    if (c >= '0' && c <= '9') digit = static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') digit = static_cast<unsigned>(c - 'a') + 10;
    if (digit >= base) break;
    value = value * base + digit;
  }
  return value;
}

// "begin-end rwxp offset major:minor inode   path"
struct Line {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  bool executable = false;
  std::uint64_t offset = 0;
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::string_view path;

  explicit Line(std::string_view rest) noexcept {
    begin = number(rest, 16);
    end = number(rest, 16);
    if (rest.size() < 5) return;
    executable = rest[2] == 'x';
    rest.remove_prefix(5);
    offset = number(rest, 16);
    std::uint64_t const major = number(rest, 16);
    device = (major << 32) | number(rest, 16);
    inode = number(rest, 10);
    while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
    path = rest;
  }
};

std::uint64_t word_of(std::string_view path, std::size_t index) noexcept {
  std::uint64_t word = 0;
  std::size_t const from = index * sizeof word;
  if (from < path.size()) {
    std::memcpy(&word, path.data() + from, std::min(sizeof word, path.size() - from));
  }
  return word;
}

// The number of the module, from 1 on. 0: there is no room for it.
std::uint64_t module_of(CrashWords& words, Line const& line) noexcept {
  constexpr std::size_t room = sizeof(CrashModule::path);
  std::string_view const path =
      line.path.size() <= room ? line.path : line.path.substr(line.path.size() - room);
  std::uint64_t const count = get(words.modules);
  for (std::uint64_t i = 0; i < count; ++i) {
    CrashModule const& module = words.module[i];
    if (get(module.device) == line.device && get(module.inode) == line.inode &&
        get(module.path[0]) == word_of(path, 0)) {
      return i + 1;
    }
  }
  if (count >= words.module.size()) return 0;
  CrashModule& module = words.module[count];
  set(module.device, line.device);
  set(module.inode, line.inode);
  for (std::size_t i = 0; i < module.path.size(); ++i) set(module.path[i], word_of(path, i));
  set(words.modules, count + 1);
  return count + 1;
}

// True: the line has the first address, and is executable.
bool look_at(CrashWords& words, std::span<std::uintptr_t const> addresses,
             Line const& line) noexcept {
  bool first_is_code = false;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    std::uintptr_t const address = addresses[i];
    if (address < line.begin || address >= line.end) continue;
    if (i == 0) first_is_code = line.executable;
    if (line.path.empty()) continue;
    if (std::uint64_t const module = module_of(words, line); module != 0) {
      set(words.frame[i], channel::crash_frame(module, address - line.begin + line.offset));
    }
  }
  return first_is_code;
}

}  // namespace

bool name_in_modules(CrashWords& words, std::span<std::uintptr_t const> addresses) noexcept {
  set(words.modules, 0);
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    set(words.frame[i], channel::crash_frame(0, addresses[i]));
  }
  set(words.frames, addresses.size());
  int const fd = open_for_reading("/proc/thread-self/maps");
  if (fd < 0) return true;  // unknown
  bool first_is_code = false;
  std::size_t there = 0;
  while (there < text.size()) {
    ssize_t const got = read_some(fd, text.data() + there, text.size() - there);
    if (got <= 0) break;
    there += static_cast<std::size_t>(got);
    std::string_view rest(text.data(), there);
    for (std::size_t end = 0; (end = rest.find('\n')) != std::string_view::npos;) {
      first_is_code |= look_at(words, addresses, Line(rest.substr(0, end)));
      rest.remove_prefix(end + 1);
    }
    std::memmove(text.data(), rest.data(), rest.size());
    there = rest.size();
  }
  ::close(fd);
  return first_is_code;
}

std::uint64_t peak_of_this_process() noexcept {
  int const fd = open_for_reading("/proc/thread-self/status");
  if (fd < 0) return 0;
  ssize_t const got = read_some(fd, text.data(), text.size());
  ::close(fd);
  if (got <= 0) return 0;
  std::string_view rest(text.data(), static_cast<std::size_t>(got));
  constexpr std::string_view name = "\nVmHWM:";
  auto const at = rest.find(name);
  if (at == std::string_view::npos) return 0;
  rest.remove_prefix(at + name.size());
  while (!rest.empty() && (rest.front() == ' ' || rest.front() == '\t')) rest.remove_prefix(1);
  return number(rest, 10) * 1024;
}

}  // namespace procpool::inline v0_1::worker
