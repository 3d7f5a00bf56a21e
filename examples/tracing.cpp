// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A trace of a pool: which worker ran what, when, and what became of it. Open tracing.json in
// ui.perfetto.dev, or draw it: scripts/draw-trace tracing.json picture.svg

#include <chrono>
#include <csignal>
#include <iostream>
#include <procpool.hpp>
#include <vector>

namespace {

// Works for so many milliseconds.
int render(int milliseconds) {
  if (milliseconds == 13) std::raise(SIGSEGV);
  auto const end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  while (std::chrono::steady_clock::now() < end) {
  }
  return milliseconds;
}

}  // namespace

int main(int argc, char** argv) {
  procpool::PoolOptions options;
  options.workers = 3;
  options.name = "pages";
  options.trace = argc > 1 ? argv[1] : "tracing.json";
  {
    procpool::ProcessPool pool{options};
    pool.start().get();
    // One of the pages crashes its worker, which is replaced.
    std::vector<int> const pages{6, 9, 4, 7, 5, 8, 13, 6, 9, 5, 4, 8, 6, 7, 9, 5};
    auto thumbnails =
        pool.with({.chunk = 1, .label = "thumbnail"}).outcomes().map_async<render>(pages);
    auto cover = pool.with({.priority = 1, .label = "cover"}).submit<render>(12);
    std::size_t rendered = 0;
    for (auto const& outcome : thumbnails.get()) rendered += outcome.has_value() ? 1 : 0;
    cover.get();
    std::cout << rendered << " of " << pages.size() << " pages and the cover\n";
    std::cout << "half of them waited for less than "
              << std::chrono::duration_cast<std::chrono::milliseconds>(
                     pool.stats().waited.quantile(0.5))
                     .count()
              << " ms\n";
  }
  std::cout << "the trace is in " << options.trace << '\n';
}
