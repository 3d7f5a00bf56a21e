// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The life of a pool: its start, a crash and the replacement, a storm of kills, its rest, its
// memory.

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <procpool.hpp>

#include "procpool/tasks.hpp"
#include "support/processes.hpp"
#include "support/program.hpp"
#include "support/shapes.hpp"

namespace bench {
namespace {

using namespace std::chrono_literals;

// A task in each of so many workers at the same time.
void fill(procpool::ProcessPool& pool, int workers) {
  Gathering const gathering(workers);
  Witness witness;
  std::vector<Place> const places(static_cast<std::size_t>(workers), gathering.place());
  for (auto const pid : pool.with({.chunk = 1}).map<meet>(places)) witness.saw(pid);
  if (witness.processes() != places.size()) {
    throw std::logic_error("not every worker had a task");
  }
}

// The first result of each worker: a call for each, which its key binds to one of its own.
void first_results(procpool::ProcessPool& pool, int workers) {
  std::vector<procpool::Future<pid_t>> results;
  for (int worker = 0; worker < workers; ++worker) {
    results.push_back(pool.with({.key = procpool::Key(worker)}).submit<empty>());
  }
  Witness witness;
  for (auto& result : results) witness.saw(result.get());
  if (witness.processes() != static_cast<std::size_t>(workers)) {
    throw std::logic_error("not every worker had a task");
  }
}

// From the constructor to the first results of all workers, and to the end of the pool. A start
// method that is not the one named for the case is a system of its own.
void add_start(int workers, std::string const& system, procpool::PoolOptions const& options) {
  Add("start_" + std::to_string(workers), system, "ms", [=](Measure const& measure) {
    measure_once(measure, [&] {
      auto own = options;
      own.workers = workers;
      procpool::ProcessPool pool{std::move(own)};
      first_results(pool, workers);
    });
  });
}
[[maybe_unused]] bool const starts = [] {
  procpool::PoolOptions spawn;
  procpool::PoolOptions forkserver;
  forkserver.start.method = procpool::Start::forkserver;
  add_start(2, ours, spawn);
  add_start(2, "procpool (forkserver)", forkserver);
  add_start(64, ours, forkserver);
  add_start(64, "procpool (spawn)", spawn);
  return true;
}();

// Processes of their own, each of which calls an empty function: one after the other, and so many
// at once. From the first constructor to the last exit. The first process of all, which starts the
// thread and the fork server behind them, is not counted.
void add_process(std::string const& system, procpool::Start start) {
  procpool::ProcessOptions options;
  options.start = start;
  auto const run_one = [options](Witness& witness) {
    auto process = procpool::start_process<empty>(options);
    witness.saw(process.get());
    process.join();
  };
  Add("process_1", system, "ms", [=](Measure const& measure) {
    int const in_a_row = measure.tiny() ? 2 : 20;
    Witness witness;
    run_one(witness);
    for (int round = 0; round < measure.rounds(); ++round) {
      auto const begin = now_ns();
      for (int i = 0; i < in_a_row; ++i) run_one(witness);
      measure.report(seconds_since(begin) * 1e3 / in_a_row);
    }
  });
  Add("process_64", system, "ms", [=](Measure const& measure) {
    int const count = measure.tiny() ? 4 : 64;
    Witness first;
    run_one(first);
    measure_once(measure, [&] {
      Witness witness;
      std::vector<procpool::Process<pid_t>> processes;
      for (int i = 0; i < count; ++i) {
        processes.push_back(procpool::start_process<empty>(options));
      }
      for (auto& process : processes) witness.saw(process.get());
      for (auto& process : processes) process.join();
      if (witness.processes() != static_cast<std::size_t>(count)) {
        throw std::logic_error("not every call had a process of its own");
      }
    });
  });
}
[[maybe_unused]] bool const processes = [] {
  add_process(ours, procpool::Start::spawn);
  add_process("procpool (forkserver)", procpool::Start::forkserver);
  return true;
}();

// One worker, so that it is surely the replacement that answers: from the submit of a task that
// kills its worker until the next task has been served.
void measure_recovery(Measure const& measure, procpool::Start start) {
  procpool::ProcessPool pool{{.workers = 1, .start = {.method = start}}};
  Witness witness;
  auto last = pool.call<empty>();
  measure_once(measure, [&] {
    auto crash = pool.submit<die>();
    auto const pid = pool.call<empty>();
    witness.saw(pid);
    if (pid == last) throw std::logic_error("the worker lives");
    last = pid;
    try {
      crash.get();
      throw std::logic_error("the crash was not noticed");
    } catch (procpool::WorkerDied const&) {
    }
  });
}
Add const recover("recover", ours, "ms", [](Measure const& measure) {
  measure_recovery(measure, procpool::Start::spawn);
});
Add const recover_by_fork("recover", "procpool (forkserver)", "ms", [](Measure const& measure) {
  measure_recovery(measure, procpool::Start::forkserver);
});

// 4,000 tasks of 2 ms, and every 20 to 50 ms a worker is killed; the share that ended with its
// value.
Add const kills("kills_4000", ours, "%", [](Measure const& measure) {
  for (int round = 0; round < measure.rounds(); ++round) {
    procpool::ProcessPool pool{two};
    Witness witness;
    fill(pool, two);
    std::vector<std::uint64_t> inputs(measure.tiny() ? 40 : 4'000);
    std::iota(inputs.begin(), inputs.end(), 0);
    std::atomic<bool> over{false};
    std::jthread const killer([&] {
      std::mt19937 random(static_cast<unsigned>(round));
      while (!over.load(std::memory_order_relaxed)) {  // carries no data
        std::this_thread::sleep_for(std::chrono::milliseconds(20 + random() % 31));
        auto const pids = children();
        if (!pids.empty()) kill(pids[random() % pids.size()], SIGKILL);
      }
    });
    std::size_t right = 0;
    std::size_t index = 0;
    for (auto const& outcome :
         pool.with({.retries = {.times = 20}}).outcomes().map<sleep_for_2ms>(inputs)) {
      if (outcome.has_value() && number_of(outcome.value()) == polynomial(index)) {
        witness.saw(maker_of(outcome.value()));
        ++right;
      }
      ++index;
    }
    over.store(true, std::memory_order_relaxed);
    measure.report(100.0 * static_cast<double>(right) / static_cast<double>(inputs.size()));
  }
});

// CPU of the program and its workers in a second that begins 10 ms after the last result.
Add const idle("idle_cpu", ours, "%", [](Measure const& measure) {
  procpool::ProcessPool pool{two};
  for (int round = 0; round < measure.rounds(); ++round) {
    fill(pool, two);
    std::this_thread::sleep_for(10ms);
    auto const begin = now_ns();
    auto const used = cpu_ns();
    std::this_thread::sleep_for(measure.tiny() ? 20ms : 1000ms);
    measure.report(100.0 * static_cast<double>(cpu_ns() - used) / 1e9 / seconds_since(begin));
  }
});

// MiB of a worker's own, rings included, in a pool of 64 that has worked.
Add const memory("memory_64", ours, "MiB", [](Measure const& measure) {
  int const workers = measure.tiny() ? 2 : 64;
  for (int round = 0; round < measure.rounds(); ++round) {
    procpool::ProcessPool pool{workers};
    fill(pool, workers);
    pool.map<polynomial_of>(std::vector<std::uint64_t>(100'000));
    auto const pids = children();
    std::uint64_t sum = 0;
    for (auto const pid : pids) sum += own_memory(pid);
    measure.report(static_cast<double>(sum) / static_cast<double>(pids.size()) / (1 << 20));
  }
});

// MiB of the processes of a pool whose eight workers have all read a table of 256 MiB. A page that
// several have counts once. The table is loaded once by the fork server, or by each worker.
std::vector<std::uint64_t> table;
void load_table(std::uint64_t size) { table.assign(size, 7); }
std::uint64_t sum_table(std::uint64_t) { return std::accumulate(table.begin(), table.end(), 0ULL); }

void measure_table(Measure const& measure, procpool::PoolOptions options) {
  constexpr int workers = 8;
  std::uint64_t const size = (measure.tiny() ? 1u << 20 : 256u << 20) / sizeof(std::uint64_t);
  options.workers = workers;
  auto load = procpool::bound<load_table>(size);
  (options.start.method == procpool::Start::forkserver ? options.start.preload
                                                       : options.start.initializer) = load;
  for (int round = 0; round < measure.rounds(); ++round) {
    procpool::ProcessPool pool{options};
    fill(pool, workers);
    for (int worker = 0; worker < workers; ++worker) {
      if (pool.with({.key = procpool::Key(worker)}).call<sum_table>(0) != 7 * size) {
        throw std::logic_error("the table is not there");
      }
    }
    std::uint64_t sum = 0;
    for (auto const& worker : pool.worker_stats()) sum += proportional_memory(worker.pid);
    // The fork server has a part of each page too.
    for (auto const pid : children()) {
      auto const stats = pool.worker_stats();
      bool const is_worker =
          std::any_of(stats.begin(), stats.end(), [&](auto const& one) { return one.pid == pid; });
      if (!is_worker) sum += proportional_memory(pid);
    }
    measure.report(static_cast<double>(sum) / (1 << 20));
  }
}
Add const table_of_each("table_8", "procpool (initializer)", "MiB",
                        [](Measure const& measure) { measure_table(measure, {}); });
Add const table_of_all("table_8", ours, "MiB", [](Measure const& measure) {
  measure_table(measure, {.start = {.method = procpool::Start::forkserver}});
});

}  // namespace
}  // namespace bench
