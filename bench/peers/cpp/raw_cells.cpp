// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The machine's limit for a map of integers: two forked workers, contiguous integers in warm shared
// memory, eight chunks claimed from a counter, copied in and copied out.

#include <algorithm>
#include <numeric>
#include <vector>

#include "peers/cpp/shared_memory.hpp"
#include "support/program.hpp"
#include "support/shapes.hpp"

namespace bench {
namespace {

constexpr std::size_t most = 200'000;
constexpr std::uint32_t chunks = 8;

struct Cells {
  alignas(128) std::atomic<std::uint32_t> go{0};
  alignas(128) std::atomic<std::uint32_t> next{chunks};
  alignas(128) std::atomic<std::uint32_t> done{0};
  std::size_t size = 0;
  std::uint64_t values[most];
};

void work(Cells& cells) {
  auto const self = getpid();
  for (std::uint32_t seen = 0;;) {
    futex_wait(cells.go, seen);
    if (cells.go.load() == seen) continue;
    seen = cells.go.load();
    for (std::uint32_t chunk; (chunk = cells.next.fetch_add(1)) < chunks;) {
      for (auto i = cells.size * chunk / chunks; i < cells.size * (chunk + 1) / chunks; ++i) {
        cells.values[i] = sign(self, polynomial(cells.values[i]));
      }
      if (cells.done.fetch_add(1) + 1 == chunks) futex_wake(cells.done);
    }
  }
}

Add const ints("map_200k_ints", "raw rings", "tasks/s", [](Measure const& measure) {
  Shared<Cells> cells;
  Child const first([&] { work(*cells); });
  Child const second([&] { work(*cells); });
  Witness witness;
  std::vector<std::uint64_t> inputs(measure.tiny() ? 2'000 : most);
  std::iota(inputs.begin(), inputs.end(), 0);
  cells->size = inputs.size();
  auto const once = [&] {
    auto const begin = now_ns();
    std::copy(inputs.begin(), inputs.end(), cells->values);
    cells->done = 0;
    cells->next = 0;
    cells->go.fetch_add(1);
    futex_wake(cells->go, 2);
    for (std::uint32_t done; (done = cells->done.load()) < chunks;) futex_wait(cells->done, done);
    std::vector<std::uint64_t> const results(cells->values, cells->values + inputs.size());
    auto const seconds = seconds_since(begin);
    for (std::size_t i = 0; i < results.size(); ++i) {
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

}  // namespace
}  // namespace bench
