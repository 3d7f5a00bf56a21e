// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// oneTBB: threads, so nothing is isolated; the bound of what sharing everything would give.

#include <oneapi/tbb.h>

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "support/program.hpp"
#include "support/shapes.hpp"

namespace bench {
namespace {

namespace tbb = oneapi::tbb;

constexpr char const* queued = "oneTBB (threads)";
constexpr char const* joining = "oneTBB joining (threads)";

// The waiting thread sleeps until another one has done it, as with a pool.
Add const enqueue("roundtrip_hot", queued, "us", [](Measure const& measure) {
  tbb::task_arena buffer_pool(2, 0);
  measure_roundtrip(measure, [&] {
    std::atomic<int> done{0};
    buffer_pool.enqueue([&] {
      done.store(1);
      done.notify_one();
    });
    done.wait(0);
    while (done.load() != 1) {
    }
  });
});
// The waiting thread mostly runs it itself.
Add const join("roundtrip_hot", joining, "us", [](Measure const& measure) {
  tbb::task_group group;
  measure_roundtrip(measure, [&] {
    group.run([] {});
    group.wait();
  });
});

template <class Body>
void one_by_one(std::size_t tasks, Body body) {
  tbb::parallel_for(
      tbb::blocked_range<std::size_t>(0, tasks, 1),
      [&](auto const& range) {
        for (auto i = range.begin(); i != range.end(); ++i) body(i);
      },
      tbb::simple_partitioner());
}

Add const submits("submit_throughput", queued, "tasks/s", [](Measure const& measure) {
  measure_throughput(measure, [](std::size_t tasks) {
    tbb::task_group group;
    std::atomic<std::size_t> done{0};
    for (std::size_t i = 0; i < tasks; ++i) {
      group.run([&] { done.fetch_add(1, std::memory_order_relaxed); });
    }
    group.wait();
    if (done.load() != tasks) throw std::logic_error("a task is missing");
  });
});

Add const chunk1("map_chunk1", queued, "tasks/s", [](Measure const& measure) {
  measure_throughput(measure, [](std::size_t tasks) {
    std::vector<pid_t> results(tasks);
    one_by_one(tasks, [&](std::size_t i) { results[i] = 1; });
  });
});

Add const ints("map_200k_ints", queued, "tasks/s", [](Measure const& measure) {
  std::vector<std::uint64_t> inputs(measure.tiny() ? 2'000 : 200'000);
  std::iota(inputs.begin(), inputs.end(), 0);
  for (int round = 0; round < measure.rounds(); ++round) {
    std::vector<double> values;
    auto const begin = now_ns();
    do {
      auto const start = now_ns();
      std::vector<std::uint64_t> results(inputs.size());
      tbb::parallel_for(std::size_t{0}, inputs.size(),
                        [&](std::size_t i) { results[i] = polynomial(inputs[i]); });
      auto const seconds = seconds_since(start);
      for (std::size_t i = 0; i < results.size(); ++i) {
        if (results[i] != polynomial(i)) throw std::logic_error("a wrong result");
      }
      values.push_back(static_cast<double>(inputs.size()) / seconds);
    } while (seconds_since(begin) < measure.slice());
    measure.report(median(std::move(values)));
  }
});

[[maybe_unused]] bool const efficiencies = [] {
  for (std::uint64_t const us : {2u, 20u, 200u}) {
    Add("efficiency_" + std::to_string(us) + "us", queued, "%", [us](Measure const& measure) {
      measure_efficiency(measure, us * 1000, 2, [us](std::size_t tasks) {
        tbb::parallel_for(std::size_t{0}, tasks, [us](std::size_t) { spin(us * 1000); });
      });
    });
  }
  return true;
}();

}  // namespace
}  // namespace bench
