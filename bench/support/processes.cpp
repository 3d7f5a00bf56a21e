// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What /proc says of this process's children; see processes.hpp.

#include "support/processes.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace bench {
namespace fs = std::filesystem;

std::vector<pid_t> children() {
  std::vector<pid_t> found;
  std::error_code error;
  for (auto const& thread : fs::directory_iterator("/proc/self/task", error)) {
    std::ifstream list(thread.path() / "children");
    for (pid_t pid = 0; list >> pid;) found.push_back(pid);
  }
  return found;
}

namespace {

// The first word of schedstat is the time on a CPU; a thread may end while we look.
std::uint64_t cpu_ns_of(pid_t pid) {
  std::uint64_t sum = 0;
  std::error_code error;
  for (auto const& thread :
       fs::directory_iterator("/proc/" + std::to_string(pid) + "/task", error)) {
    std::uint64_t time = 0;
    std::ifstream(thread.path() / "schedstat") >> time;
    sum += time;
  }
  return sum;
}

}  // namespace

std::uint64_t cpu_ns(std::vector<pid_t> const& except) {
  rusage own{};
  getrusage(RUSAGE_SELF, &own);
  auto const ns = [](timeval const& time) {
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000u +
           static_cast<std::uint64_t>(time.tv_usec) * 1'000u;
  };
  auto sum = ns(own.ru_utime) + ns(own.ru_stime);
  for (auto const pid : children()) {
    if (std::ranges::find(except, pid) == except.end()) sum += cpu_ns_of(pid);
  }
  return sum;
}

std::uint64_t proportional_memory(pid_t pid) {
  std::ifstream sums("/proc/" + std::to_string(pid) + "/smaps_rollup");
  for (std::string word; sums >> word;) {
    std::uint64_t kib = 0;
    if (word == "Pss:" && sums >> kib) return kib * 1024;
  }
  return 0;
}

std::uint64_t own_memory(pid_t pid) {
  std::ifstream maps("/proc/" + std::to_string(pid) + "/smaps");
  bool unnamed_shared = false;
  std::uint64_t kib = 0;
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);
    std::string key;
    words >> key;
    if (key.find('-') != std::string::npos && key.back() != ':') {
      unnamed_shared =
          line.find("/memfd:") != std::string::npos || line.find("/dev/zero") != std::string::npos;
      continue;
    }
    std::uint64_t value = 0;
    words >> value;
    if (key == "Private_Clean:" || key == "Private_Dirty:" ||
        (unnamed_shared && (key == "Shared_Clean:" || key == "Shared_Dirty:"))) {
      kib += value;
    }
  }
  return kib * 1024;
}

BusyCores::BusyCores() {
  auto const parent = getpid();
  for (long i = 0; i < sysconf(_SC_NPROCESSORS_ONLN); ++i) {
    auto const pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      while (getppid() == parent) {
        for (int turn = 0; turn < 1'000'000; ++turn) asm volatile("");
      }
      _exit(0);
    }
    if (pid > 0) pids_.push_back(pid);
  }
}

BusyCores::~BusyCores() {
  for (auto const pid : pids_) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
}

}  // namespace bench
