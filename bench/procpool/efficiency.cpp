// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// How much of the cores goes into tasks: small tasks, skewed ones, and what it costs when all cores
// are busy with other work.

#include <cstdint>
#include <vector>

#include <procpool.hpp>

#include "procpool/tasks.hpp"
#include "support/processes.hpp"
#include "support/program.hpp"
#include "support/shapes.hpp"

namespace bench {
namespace {

void map_spins(procpool::ProcessPool& pool, std::vector<std::uint32_t> const& durations,
               Witness& witness) {
  for (auto const pid : pool.map<spin_for>(durations)) witness.saw(pid);
}

void add_efficiency(std::uint32_t microseconds) {
  auto const nanoseconds = microseconds * 1000;
  Add("efficiency_" + std::to_string(microseconds) + "us", ours, "%",
      [nanoseconds](Measure const& measure) {
        procpool::ProcessPool pool{two};
        Witness witness;
        measure_efficiency(measure, nanoseconds, two, [&](std::size_t tasks) {
          map_spins(pool, std::vector<std::uint32_t>(tasks, nanoseconds), witness);
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
    map_spins(pool, std::vector<std::uint32_t>(100, element), witness);
    for (int round = 0; round < measure.rounds(); ++round) {
      auto const begin = now_ns();
      map_spins(pool, durations, witness);
      measure.report(100 * best / seconds_since(begin));
    }
  });
}

[[maybe_unused]] bool const added = [] {
  for (std::uint32_t const us : {2u, 20u, 200u}) add_efficiency(us);
  add_skew("first", 0);
  add_skew("middle", 1);
  add_skew("last", 2);
  return true;
}();

// CPU that a task of 20 us costs beside these 20 us, in the program and in the workers, while other
// processes want every core.
Add const busy("busy_cpu", ours, "us", [](Measure const& measure) {
  constexpr std::uint32_t element = 20'000;
  BusyCores const others;
  procpool::ProcessPool pool{two};
  Witness witness;
  auto const run = [&](std::size_t tasks) {
    for (auto const pid : pool.map<burn_for>(std::vector<std::uint32_t>(tasks, element))) {
      witness.saw(pid);
    }
  };
  auto const tasks = tasks_for_slice(measure, run, 64);
  for (int round = 0; round < measure.rounds(); ++round) {
    auto const begin = cpu_ns(others.pids());
    run(tasks);
    auto const used = static_cast<double>(cpu_ns(others.pids()) - begin);
    measure.report((used / static_cast<double>(tasks) - element) / 1e3);
  }
});

}  // namespace
}  // namespace bench
