// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// cluster_efficiency: the part of the processors that goes into tasks, for a local pool of two workers and
// for a pool over two hosts with one worker each, in turn. As a job of two processes; see run here.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <vector>

#include <procpool.hpp>
#include <procpool/mpi.hpp>

#include "support/clock.hpp"

namespace {

constexpr unsigned workers = 2;
constexpr int rounds = 5;
constexpr double seconds = 1;

int burn_for(std::uint32_t nanoseconds) {
  bench::burn(nanoseconds);
  return 0;
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
  for (int round = 0; round < rounds; ++round) {
    for (std::uint32_t const microseconds : {1000u, 100u}) {
      measure("local pool", local, microseconds);
      measure("`procpool::mpi()`", cluster, microseconds);
    }
  }
  return EXIT_SUCCESS;
} catch (std::exception const& error) {
  std::fprintf(stderr, "cluster_efficiency: %s\n", error.what());
  return EXIT_FAILURE;
}
