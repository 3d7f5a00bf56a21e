// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// How much of the cores goes into tasks: small tasks, with a trace and without, skewed ones, and what
// it costs when all cores are busy with other work.

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include <procpool.hpp>

#include "procpool/tasks.hpp"
#include "support/processes.hpp"
#include "support/program.hpp"
#include "support/shapes.hpp"

namespace bench {
namespace {

// The trace of a pool. It is gone with this object.
class TemporaryFile {
 public:
  TemporaryFile()
      : path_((std::filesystem::temp_directory_path() /
               ("procpool_bench." + std::to_string(::getpid()) + ".json"))
                  .string()) {}
  ~TemporaryFile() {
    std::error_code error;
    std::filesystem::remove(path_, error);  // also if no pool has made it
  }
  TemporaryFile(TemporaryFile const&) = delete;
  TemporaryFile& operator=(TemporaryFile const&) = delete;

  std::string const& path() const { return path_; }

 private:
  std::string path_;
};

constexpr char const* ours_traced = "procpool (trace)";

procpool::PoolOptions with_trace(bool traced, TemporaryFile const& file) {
  procpool::PoolOptions options{.workers = two};
  if (traced) options.trace = file.path();
  return options;
}

using RunTasks = void(procpool::ProcessPool&, std::vector<std::uint32_t> const&, Witness&);

template <auto f>
void map_tasks(procpool::ProcessPool& pool, std::vector<std::uint32_t> const& durations,
               Witness& witness) {
  for (auto const pid : pool.map<f>(durations)) witness.saw(pid);
}

template <auto f>
void submit_tasks(procpool::ProcessPool& pool, std::vector<std::uint32_t> const& durations,
                  Witness& witness) {
  std::vector<procpool::Future<pid_t>> futures;
  futures.reserve(durations.size());
  for (auto const nanoseconds : durations) futures.push_back(pool.submit<f>(nanoseconds));
  for (auto& future : futures) witness.saw(future.get());
}

void add_efficiency(std::string const& name, std::uint32_t microseconds, RunTasks* run_tasks,
                    bool traced = false) {
  auto const nanoseconds = microseconds * 1000;
  Add(name + "_" + std::to_string(microseconds) + "us", traced ? ours_traced : ours, "%",
      [nanoseconds, run_tasks, traced](Measure const& measure) {
        TemporaryFile const file;
        procpool::ProcessPool pool{with_trace(traced, file)};
        Witness witness;
        measure_efficiency(measure, nanoseconds, two, [&](std::size_t tasks) {
          run_tasks(pool, std::vector<std::uint32_t>(tasks, nanoseconds), witness);
        });
      });
}

// 2,000 elements of 50 us, one of them 1,000 times longer; against the best that any order could
// do.
void add_skew(std::string const& where, std::size_t position) {
  Add("skew_" + where, ours, "%", [position](Measure const& measure) {
    constexpr std::uint32_t element = 50'000;
    procpool::ProcessPool pool{two};
    Witness witness;
    std::vector<std::uint32_t> durations(measure.tiny() ? 20 : 2'000, element);
    durations[position * (durations.size() - 1) / 2] *= 1'000;
    double const one = calibrate([] { spin(element); }, element) / 1e9;
    double const all = one * (static_cast<double>(durations.size()) - 1) + element * 1e-6;
    double const best = std::max(element * 1e-6, all / two);
    map_tasks<spin_for>(pool, std::vector<std::uint32_t>(100, element), witness);
    for (int round = 0; round < measure.rounds(); ++round) {
      auto const begin = now_ns();
      map_tasks<spin_for>(pool, durations, witness);
      measure.report(100 * best / seconds_since(begin));
    }
  });
}

[[maybe_unused]] bool const added = [] {
  for (std::uint32_t const us : {2u, 20u, 200u}) {
    add_efficiency("efficiency", us, map_tasks<spin_for>);
  }
  add_efficiency("efficiency", 20, map_tasks<spin_for>, true);
  for (bool const traced : {false, true}) {
    add_efficiency("submitted", 20, submit_tasks<spin_for>, traced);
  }
  add_skew("first", 0);
  add_skew("middle", 1);
  add_skew("last", 2);
  return true;
}();

// CPU that a task of 20 us costs beside these 20 us, in the program and in the workers, while other
// processes want every core.
void measure_busy_cpu(Measure const& measure, RunTasks* run_tasks, bool traced) {
  constexpr std::uint32_t element = 20'000;
  BusyCores const others;
  TemporaryFile const file;
  procpool::ProcessPool pool{with_trace(traced, file)};
  Witness witness;
  auto const run = [&](std::size_t tasks) {
    run_tasks(pool, std::vector<std::uint32_t>(tasks, element), witness);
  };
  auto const tasks = tasks_for_slice(measure, run, 64);
  for (int round = 0; round < measure.rounds(); ++round) {
    auto const begin = cpu_ns(others.pids());
    run(tasks);
    auto const used = static_cast<double>(cpu_ns(others.pids()) - begin);
    measure.report((used / static_cast<double>(tasks) - element) / 1e3);
  }
}

void add_busy_cpu(std::string const& name, RunTasks* run_tasks) {
  for (bool const traced : {false, true}) {
    Add(name, traced ? ours_traced : ours, "us", [run_tasks, traced](Measure const& measure) {
      measure_busy_cpu(measure, run_tasks, traced);
    });
  }
}

[[maybe_unused]] bool const busy_added = [] {
  add_busy_cpu("busy_cpu", map_tasks<burn_for>);
  add_busy_cpu("busy_cpu_submitted", submit_tasks<burn_for>);
  return true;
}();

}  // namespace
}  // namespace bench
