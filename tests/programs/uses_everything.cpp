// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Uses all kinds of things at the same time, and never ends by itself: a pool with tasks, one with a
// pool in a task, an actor, processes, and queues, pipes and shared memory between all of them. It
// takes the death of anybody but itself. Each time that every kind has done its work again, it writes
// a line. The arguments: how workers are started, and a folder for control groups, which may be "-".

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <thread>
#include <utility>

#include "common.hpp"

namespace {

using procpool::Process;
using procpool::ProcessOptions;
using procpool::ProcessPool;
using procpool::Queue;
using procpool::SharedArray;
using procpool::SharedValue;

using Items = Queue<int>;
using Arrays = Queue<SharedArray<int>>;
using TextPipe = procpool::PipeEnd<std::string>;

constexpr int items_at_once = 20;

// A death in the middle leaves a number, which is good enough.
void count(SharedValue<long> const& sum) {
  sum.with_lock([](long& number) { ++number; }, procpool::keep);
}

int pass_on(Items const& items, Arrays const& arrays, SharedValue<long> const& sum) {
  int passed = 0;
  for (; passed < items_at_once; ++passed) {
    auto const item = items.pop_for(std::chrono::milliseconds(100));
    if (!item) break;
    count(sum);
    if (*item % 5 == 0) arrays.try_push(SharedArray<int>(1'000));
  }
  return passed;
}

int send_back(TextPipe end) {
  int sent = 0;
  for (; auto text = end.receive(); ++sent) end.send(*text);
  return sent;
}

int use_a_pool(int x) {
  ProcessPool pool{1};
  return pool.call<programs::square>(x);
}

struct Counter {
  long number = 0;
  long add(SharedValue<long> const& sum) {
    count(sum);
    return ++number;
  }
};

// One after the other, for ever. What a death has caused is not its matter.
class Uses {
 public:
  template <class Use>
  void begin(Use use) {
    std::atomic<long>& done = done_.at(count_++);
    threads_.emplace_back([use = std::move(use), &done]() mutable {
      for (;;) {
        try {
          use();
          ++done;
        } catch (procpool::Error const&) {
        }
      }
    });
  }
  // Waits until each has been done again.
  void await_all() const {
    std::array<long, most> before{};
    for (std::size_t i = 0; i < count_; ++i) before.at(i) = done_.at(i);
    for (std::size_t i = 0; i < count_; ++i) {
      while (done_.at(i) == before.at(i)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

 private:
  static constexpr std::size_t most = 8;
  std::array<std::atomic<long>, most> done_{};
  std::size_t count_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace

int main(int argc, char** argv) {
  procpool::PoolOptions options;
  options.workers = 3;
  options.start.method = programs::start_of(argc, argv);
  options.log = [](std::string_view) {};
  if (argc > 2 && argv[2] != std::string_view("-")) options.placement.cgroup = argv[2];
  ProcessPool pool{options};
  Items const items{{.redeliver = 5}};
  Arrays const arrays{{.items = 4}};
  SharedValue<long> const sum(0);

  Uses uses;
  uses.begin([&] {
    for (int i = 0; i < items_at_once; ++i) items.push(i);
  });
  uses.begin([&] { pool.call<pass_on>(items, arrays, sum); });
  uses.begin([&] { arrays.pop_for(std::chrono::seconds(1)); });
  uses.begin([&] {
    auto [here, there] = procpool::make_pipe<std::string>();
    auto sent = pool.submit<send_back>(std::move(there));
    for (std::size_t const size : {10, 200'000}) {
      here.send(std::string(size, 'x'));
      if (!here.receive()) break;
    }
    here.close();
    sent.get();
  });
  uses.begin([&, actor = std::optional<procpool::Actor<Counter>>()]() mutable {
    if (!actor) actor.emplace(pool.actor<Counter>({.restarts = 1'000'000}));
    actor->call<&Counter::add>(sum).get();
  });
  uses.begin([&] { pool.call<use_a_pool>(3); });
  uses.begin([&] {
    ProcessOptions of_process;
    of_process.start = options.start.method;
    Process<int> one{of_process, pass_on, items, arrays, sum};
    Process<int> other{of_process, pass_on, items, arrays, sum};
    one.get();
    other.get();
  });
  for (;;) {
    uses.await_all();
    ::dprintf(STDOUT_FILENO, "all\n");
  }
}
