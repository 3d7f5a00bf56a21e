// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// std::async: threads, so nothing is isolated, and a new one for each task.

#include <future>
#include <vector>

#include "support/program.hpp"
#include "support/shapes.hpp"

namespace bench {
namespace {

constexpr char const* system = "std::async (threads)";

Add const hot("roundtrip_hot", system, "us", [](Measure const& measure) {
  measure_roundtrip(measure, [] { std::async(std::launch::async, [] { return getpid(); }).get(); });
});

// At most so many threads at a time: more are refused by the system.
template <class Work>
void run(std::size_t tasks, Work work) {
  std::vector<std::future<pid_t>> futures;
  for (std::size_t done = 0; done < tasks; done += futures.size()) {
    futures.clear();
    for (std::size_t i = done; i < std::min(tasks, done + 256); ++i) {
      futures.push_back(std::async(std::launch::async, work));
    }
    for (auto& future : futures) future.get();
  }
}

Add const submits("submit_throughput", system, "tasks/s", [](Measure const& measure) {
  measure_throughput(measure, [](std::size_t tasks) { run(tasks, [] { return getpid(); }); });
});

Add const efficiency("efficiency_200us", system, "%", [](Measure const& measure) {
  measure_efficiency(measure, 200'000, 2, [](std::size_t tasks) {
    std::vector<std::future<pid_t>> two;
    for (std::size_t i = 0; i < tasks; i += 2) {
      two.clear();
      for (int j = 0; j < 2; ++j) {
        two.push_back(std::async(std::launch::async, [] {
          spin(200'000);
          return getpid();
        }));
      }
    }
  });
});

}  // namespace
}  // namespace bench
