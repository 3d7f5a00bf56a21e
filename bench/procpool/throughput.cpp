// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Many tasks: submitted one by one and got, mapped one by one, mapped in the chunks that the pool
// chooses.

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <vector>

#include <procpool.hpp>

#include "procpool/tasks.hpp"
#include "support/program.hpp"
#include "support/shapes.hpp"

namespace bench {
namespace {

void submit_and_get(procpool::ProcessPool& pool, std::size_t tasks, Witness& witness) {
  std::vector<procpool::Future<pid_t>> futures;
  futures.reserve(tasks);
  for (std::size_t i = 0; i < tasks; ++i) futures.push_back(pool.submit<empty>());
  for (auto& future : futures) witness.saw(future.get());
}

void map_one_by_one(procpool::ProcessPool& pool, std::vector<std::uint32_t> const& inputs,
                    Witness& witness) {
  for (auto const pid : pool.with({.chunk = 1}).map<empty_of>(inputs)) witness.saw(pid);
}

Add const submits("submit_throughput", ours, "tasks/s", [](Measure const& measure) {
  procpool::ProcessPool pool{two};
  Witness witness;
  measure_throughput(measure, [&](std::size_t tasks) { submit_and_get(pool, tasks, witness); });
});

Add const chunk1("map_chunk1", ours, "tasks/s", [](Measure const& measure) {
  procpool::ProcessPool pool{two};
  Witness witness;
  std::vector<std::uint32_t> inputs;
  measure_throughput(measure, [&](std::size_t tasks) {
    inputs.resize(tasks);
    map_one_by_one(pool, inputs, witness);
  });
});

// The same, but each task throws, and each failure is looked at.
Add const failing("map_failing", ours, "tasks/s", [](Measure const& measure) {
  procpool::ProcessPool pool{two};
  Witness witness;
  std::vector<std::uint32_t> inputs;
  measure_throughput(measure, [&](std::size_t tasks) {
    inputs.resize(tasks);
    for (auto const& outcome : pool.with({.chunk = 1}).outcomes().map<fail>(inputs)) {
      auto const& error = outcome.error();
      if (error.as<std::out_of_range>() == nullptr) throw std::logic_error("a wrong error");
      witness.saw(error.as<procpool::Origin>()->pid);
    }
  });
});

Add const ints("map_200k_ints", ours, "tasks/s", [](Measure const& measure) {
  procpool::ProcessPool pool{two};
  Witness witness;
  std::vector<std::uint64_t> inputs(measure.tiny() ? 2'000 : 200'000);
  std::iota(inputs.begin(), inputs.end(), 0);
  // The results are looked at when the clock has stopped.
  auto const once = [&] {
    auto const begin = now_ns();
    auto const results = pool.map<polynomial_of>(inputs);
    auto const seconds = seconds_since(begin);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      witness.saw(maker_of(results[i]));
      if (number_of(results[i]) != polynomial(i)) throw std::logic_error("a wrong result");
    }
    return static_cast<double>(inputs.size()) / seconds;
  };
  for (auto const begin = now_ns(); seconds_since(begin) < measure.slice() / 2;) once();
  for (int round = 0; round < measure.rounds(); ++round) {
    std::vector<double> values;
    auto const begin = now_ns();
    do values.push_back(once());
    while (seconds_since(begin) < measure.slice());
    measure.report(median(std::move(values)));
  }
});

// ---- as the queue grows, as the workers grow: microseconds per task
void add_growth(std::size_t most) {
  Add("queue_" + std::to_string(most), ours, "us", [most](Measure const& measure) {
    procpool::ProcessPool pool{two};
    Witness witness;
    auto const queue = measure.tiny() ? std::min<std::size_t>(most, 1'000) : most;
    submit_and_get(pool, 256, witness);
    auto const repeats = measure.tiny() ? 1 : std::max<std::size_t>(1, 20'000 / queue);
    for (int round = 0; round < measure.rounds(); ++round) {
      auto const begin = now_ns();
      for (std::size_t i = 0; i < repeats; ++i) submit_and_get(pool, queue, witness);
      measure.report(seconds_since(begin) * 1e6 / static_cast<double>(queue * repeats));
    }
  });
}

void add_workers(int workers) {
  Add("workers_" + std::to_string(workers), ours, "us", [workers](Measure const& measure) {
    procpool::ProcessPool pool{workers};
    Witness witness;
    {  // all of them are there
      Gathering const gathering(workers);
      pool.with({.chunk = 1})
          .map<meet>(std::vector<Place>(static_cast<std::size_t>(workers), gathering.place()));
    }
    std::vector<std::uint32_t> inputs;
    auto const run = [&](std::size_t tasks) {
      inputs.resize(tasks);
      map_one_by_one(pool, inputs, witness);
    };
    auto const tasks = tasks_for_slice(measure, run);
    for (int round = 0; round < measure.rounds(); ++round) {
      auto const begin = now_ns();
      run(tasks);
      measure.report(seconds_since(begin) * 1e6 / static_cast<double>(tasks));
    }
  });
}

[[maybe_unused]] bool const growth = [] {
  for (std::size_t queue = 1; queue <= 1'000'000; queue *= 10) add_growth(queue);
  for (int workers = 1; workers <= 64; workers *= 2) add_workers(workers);
  return true;
}();

}  // namespace
}  // namespace bench
