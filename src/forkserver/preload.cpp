// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "forkserver/preload.hpp"

#include <dirent.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>

#include "engine/loaded_callable.hpp"
#include "os/mapping.hpp"
#include "os/process.hpp"
#include "os/text.hpp"
#include "protocol/function_registration.hpp"
#include "protocol/handshake.hpp"

namespace procpool::inline v0_1::forkserver {
namespace {

std::uint64_t growth(std::uint64_t before, std::uint64_t after) noexcept {
  return after > before ? after - before : 0;
}

// ""loader" and "pool"", without the calling thread.
std::string names_of_other_threads() {
  constexpr std::size_t most = 8;
  std::unique_ptr<DIR, int (*)(DIR*)> const threads(::opendir("/proc/self/task"), &::closedir);
  std::string names;
  std::size_t count = 0;
  while (dirent const* const entry = threads ? ::readdir(threads.get()) : nullptr) {
    std::string const thread = entry->d_name;
    if (thread.starts_with('.') || ::atoi(thread.c_str()) == ::syscall(SYS_gettid)) continue;
    std::string name;
    std::getline(std::ifstream("/proc/self/task/" + thread + "/comm"), name);
    if (++count > most) continue;
    names += (names.empty() ? "\"" : ", \"") + os::one_line(name) + "\" (thread " + thread + ")";
  }
  return count > most ? names + " and " + std::to_string(count - most) + " others" : names;
}

// A thread that was joined is counted for a moment more.
std::size_t settled_thread_count() noexcept {
  constexpr int max_looks = 1000;
  std::size_t threads = os::thread_count();
  for (int look = 0; look < max_looks && threads > 1; ++look) {
    ::sched_yield();
    threads = os::thread_count();
  }
  return threads;
}

std::string why_unfit(std::size_t threads_before) {
  std::size_t const threads = settled_thread_count();
  if (threads == 1) return {};
  if (threads == 0) return "it cannot be told how many threads it has (is /proc mounted?)";
  // A fork copies the calling thread alone. A lock of another thread would be held for ever.
  return std::string(threads_before > 1
                         ? "static initialisation has started a thread that runs on: "
                         : "it has left a thread behind: ") +
         names_of_other_threads() +
         ". A worker that is forked beside a thread may find its locks held for ever; join it";
}

}  // namespace

Preload::Preload(os::Memfd const& call) {
  constexpr std::size_t longest = protocol::longest_message / 2;
  std::size_t const threads = os::thread_count();
  pid_t const own = ::getpid();
  os::MemoryUse const before = os::memory_use();
  os::Mapping const mapping(call, os::Access::private_read);
  auto const registration = protocol::decode_registration(mapping.bytes());
  detail::Bytes const thrown = call_alone(registration.code, registration.state);
  if (::getpid() != own) ::_exit(EXIT_SUCCESS);
  os::MemoryUse const after = os::memory_use();
  memory_ = {growth(before.addresses, after.addresses), growth(before.data, after.data),
             growth(before.resident, after.resident)};
  if (thrown.size() > longest) {
    report_.reason = "it threw an exception that is too long to be sent";
  } else if (!thrown.empty()) {
    report_.thrown.assign(reinterpret_cast<char const*>(thrown.data()), thrown.size());
  } else {
    report_.reason = why_unfit(threads);
  }
}

}  // namespace procpool::inline v0_1::forkserver
