// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "os/stack.hpp"

#include <charconv>
#include <fstream>
#include <string>

#include <pthread.h>
#include <sys/resource.h>

namespace procpool::inline v0_1::os {
namespace {

struct Known {
  bool asked = false;
  rlim_t limit = 0;  // of the process, at the last look
  Stack stack;
};

// Without a constructor and a destructor, so that it costs nothing and lives as long as the thread.
constinit thread_local Known known;

rlim_t stack_limit() {
  ::rlimit limit{};
  return ::getrlimit(RLIMIT_STACK, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
}

Stack ask() {
  ::pthread_attr_t attributes;
  if (::pthread_getattr_np(::pthread_self(), &attributes) != 0) return {};
  void* begin = nullptr;
  std::size_t size = 0;
  bool const told = ::pthread_attr_getstack(&attributes, &begin, &size) == 0;
  ::pthread_attr_destroy(&attributes);
  if (!told) return {};
  auto const first = reinterpret_cast<std::uintptr_t>(begin);
  return {first, first + size};
}

}  // namespace

std::optional<Stack> own_stack(bool again) {
  if (!known.asked || (again && known.limit != stack_limit())) {
    known = {true, stack_limit(), ask()};
  }
  if (known.stack.end == 0) return std::nullopt;
  return known.stack;
}

std::optional<Stack> mapping_around(std::uintptr_t address) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    Stack here;
    auto const* const stop = line.data() + line.size();
    auto const first = std::from_chars(line.data(), stop, here.begin, 16);
    if (first.ptr == stop) continue;
    std::from_chars(first.ptr + 1, stop, here.end, 16);
    if (here.begin <= address && address < here.end) return here;
  }
  return std::nullopt;
}

}  // namespace procpool::inline v0_1::os
