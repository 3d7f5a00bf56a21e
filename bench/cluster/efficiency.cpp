// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// cluster_efficiency: the part of the processors that goes into tasks, for a local pool of two workers and
// for a pool over two hosts with one worker each, in turn. Then the part of a core that the host which is another
// process takes without work. As a job of two processes; see run here.

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <procpool.hpp>
#include <procpool/mpi.hpp>

#include "support/clock.hpp"

namespace {

constexpr unsigned workers = 2;
constexpr double seconds = 1;

int burn_for(std::uint32_t nanoseconds) {
  bench::burn(nanoseconds);
  return 0;
}

// The process that started the worker: the agent of its host.
pid_t agent_of_worker(int) { return ::getppid(); }

// Of all threads of a process so far.
double cpu_seconds(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string text;
  std::getline(file, text);
  unsigned long user = 0;
  unsigned long kernel = 0;
  std::size_t const name_end = text.rfind(')');
  if (name_end == std::string::npos ||
      std::sscanf(text.c_str() + name_end + 1,
                  " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2) {
    throw std::runtime_error("there is no agent");
  }
  return static_cast<double>(user + kernel) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

void measure_idle(procpool::ProcessPool& cluster) {
  std::set<pid_t> agents;
  for (pid_t const one : cluster.on_each_worker<agent_of_worker>(0)) agents.insert(one);
  agents.erase(::getpid());
  if (agents.size() != 1) throw std::runtime_error("there is no agent, or more than one");
  std::this_thread::sleep_for(std::chrono::seconds(1));
  double const before = cpu_seconds(*agents.begin());
  auto const begin = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(std::chrono::seconds(5));
  double const used = cpu_seconds(*agents.begin()) - before;
  std::chrono::duration<double> const took = std::chrono::steady_clock::now() - begin;
  std::printf("idle agent\t0\t%.1f\n", 100 * used / took.count());
}

void measure(char const* system, procpool::ProcessPool& pool, std::uint32_t microseconds) {
  auto const tasks = static_cast<std::size_t>(seconds * workers * 1e6 / microseconds);
  std::vector<std::uint32_t> const durations(tasks, microseconds * 1000);
  auto const begin = std::chrono::steady_clock::now();
  pool.map<burn_for>(durations);
  std::chrono::duration<double> const took = std::chrono::steady_clock::now() - begin;
  std::printf("%s\t%u\t%.1f\n", system, microseconds,
              100 * static_cast<double>(tasks) * microseconds * 1e-6 / (took.count() * workers));
}

}  // namespace

int main() try {
  procpool::ProcessPool local{{.workers = workers}};
  procpool::ProcessPool cluster{{.engine = procpool::mpi({.workers_per_host = 1})}};
  if (cluster.size() != workers) {
    std::fputs("cluster_efficiency: start it as a job of two processes\n", stderr);
    return EXIT_FAILURE;
  }
  // Functions are loaded, and their cost is known, before anything counts.
  std::vector<std::uint32_t> const some(200, 100'000);
  local.map<burn_for>(some);
  cluster.map<burn_for>(some);
  for (std::uint32_t const microseconds : {1000u, 100u}) {
    measure("local pool", local, microseconds);
    measure("`procpool::mpi()`", cluster, microseconds);
  }
  measure_idle(cluster);
  return EXIT_SUCCESS;
} catch (std::exception const& error) {
  std::fprintf(stderr, "cluster_efficiency: %s\n", error.what());
  return EXIT_FAILURE;
}
