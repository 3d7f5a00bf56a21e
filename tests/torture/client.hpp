// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Client: one of several threads that use the same pool at random: submits, maps, streams; with
// retries, deadlines, priorities and keys; cancelling, abandoning, composing. It looks at every
// outcome: only a value that is right, or a reason that can be, is taken, and noted in its Account.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <procpool.hpp>
#include <ranges>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/errors.hpp"
#include "support/watchdog.hpp"
#include "torture/calls.hpp"

namespace torture {

class Client : public Calls {
 public:
  using Calls::Calls;

  // Until it is over, or the pool is.
  void run() {
    while (!common_.over.load(std::memory_order_relaxed) && !testing::Test::HasFailure()) {
      try {
        switch (random_() % 10) {
          case 0:
          case 1: submits(); break;
          case 2: cancels(); break;
          case 3: maps(); break;
          case 4: tries(); break;
          case 5: leaves_a_map(); break;
          case 6: streams(); break;
          case 7: composes(); break;
          case 8: overruns(); break;
          case 9: cancels_what_overruns(); break;
        }
      } catch (procpool::PoolClosed const&) {
        EXPECT_TRUE(ending()) << "the pool is open";
        ++account_.refused;
        return;
      } catch (...) {
        ADD_FAILURE() << "a call threw " << support::current_exception_text();
        return;
      }
    }
  }

 private:
  void submits() {
    std::vector<Call> calls;
    for (int i = between(1, 40); i > 0; --i) calls.push_back(submit());
    for (Call& call : calls) settle(std::move(call));
  }

  void cancels() {
    std::vector<Call> calls;
    for (int i = between(1, 20); i > 0; --i) calls.push_back(submit());
    std::this_thread::sleep_for(std::chrono::microseconds(between(0, 3'000)));
    for (Call& call : calls) {
      std::optional<procpool::Cancel> said;
      if (one_in(2)) said = cancel(call);
      settle(std::move(call), said);
    }
  }

  procpool::Cancel cancel(Call& call) {
    support::Watchdog::Wait const wait(common_.watchdog, "a cancel");
    return call.future.cancel();
  }

  // A task that ends only if it is ended.
  Deed long_deed() {
    Deed made = deed();
    made.microseconds = for_ever;
    made.listens = one_in(4);
    return made;
  }

  // Work that workers have ahead of them, and that the pool revokes: what they get next comes
  // behind a gap.
  void leave_a_gap() {
    if (one_in(4)) return;
    constexpr std::array sizes = {1, 63, 64, 65, 1'000};
    auto const size = static_cast<std::size_t>(sizes[random_() % sizes.size()]);
    std::vector<Deed> const none(size);  // their id counts nowhere
    procpool::CallOptions given;
    given.chunk = static_cast<int>(size);
    auto results = common_.pool.with(given).map_async<do_nothing>(none);
    std::this_thread::sleep_for(std::chrono::microseconds(between(0, 300)));
    support::Watchdog::Wait const wait(common_.watchdog, "a gap");
    results.cancel();
  }

  // Calls that are sure to overrun, and others; behind a revocation.
  void overruns() {
    std::vector<Call> calls;
    for (int i = between(1, 6); i > 0; --i) {
      leave_a_gap();
      procpool::CallOptions given;
      given.timeout = std::chrono::milliseconds(between(5, 40));
      if (one_in(4)) given.priority = between(-2, 2);
      if (one_in(4)) given.key = between(0, 5);
      calls.push_back(submit(one_in(4) ? deed() : long_deed(), given));
    }
    for (Call& call : calls) settle(std::move(call));
  }
  // One at a time: a task that waits for room in a bounded queue must not hold the worker that
  // would make room.
  void cancels_what_overruns() {
    for (int i = between(1, 4); i > 0; --i) {
      leave_a_gap();
      Call call = submit(long_deed(), {});
      std::this_thread::sleep_for(std::chrono::microseconds(between(0, 20'000)));
      auto const said = cancel(call);
      settle(std::move(call), said);
    }
  }

  // All values are right, whatever happens to workers.
  void maps() {
    auto const inputs = deeds(60);
    procpool::CallOptions given;
    given.retries.times = many;
    if (one_in(2)) given.chunk = between(1, 20);
    support::Watchdog::Wait const wait(common_.watchdog,
                                       "a map of " + std::to_string(inputs.size()));
    try {
      auto const values = common_.pool.with(given).map<do_deed>(inputs);
      ASSERT_EQ(values.size(), inputs.size());
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        EXPECT_EQ(values[i], 3 * inputs[i].id + 1);
        account_.known.push_back({inputs[i].id, 1, 1 + many});
      }
      account_.values += values.size();
    } catch (procpool::TaskCancelled const&) {
      EXPECT_TRUE(ending()) << "nobody cancelled it";
    } catch (procpool::WorkerDied const& error) {
      EXPECT_TRUE(ending()) << error.what();
    }
  }

  // Without retries: nothing is begun twice.
  void tries() {
    auto const inputs = deeds(60);
    support::Watchdog::Wait const wait(common_.watchdog,
                                       "a map of " + std::to_string(inputs.size()));
    auto const outcomes =
        one_in(2) ? common_.pool.outcomes().map<do_deed>(inputs)
                  : common_.pool.with({.chunk = between(1, 20)}).outcomes().map<do_deed>(inputs);
    ASSERT_EQ(outcomes.size(), inputs.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      bool const ok = outcomes[i].has_value();
      account_.known.push_back({inputs[i].id, ok ? 1 : 0, 1});
      if (ok) {
        EXPECT_EQ(outcomes[i].value(), 3 * inputs[i].id + 1);
        ++account_.values;
        continue;
      }
      try {
        outcomes[i].value();
      } catch (procpool::WorkerDied const& error) {
        EXPECT_EQ(error.element(), i);
        judge(error);
      } catch (procpool::TaskCancelled const&) {
        EXPECT_TRUE(ending()) << "nobody cancelled it";
        ++account_.cancelled;
      }
    }
  }

  // A map that is cancelled, or forgotten, in the middle.
  void leaves_a_map() {
    auto const inputs = deeds(200);
    auto results = common_.pool.map_async<do_deed>(inputs);
    std::this_thread::sleep_for(std::chrono::microseconds(between(0, 20'000)));
    if (one_in(3)) return;
    support::Watchdog::Wait const wait(common_.watchdog, "a map that was cancelled");
    results.cancel();
    results.wait();
    EXPECT_EQ(results.done(), results.total());
    // An element that fails while inputs are still read ends the reading.
    EXPECT_TRUE(results.total() == inputs.size() || results.failed() != 0);
    for (Deed const& one : inputs) account_.known.push_back({one.id, 0, 1});
  }

  void streams() {
    auto const inputs = deeds(300);
    std::size_t const most = one_in(3) ? random_() % (inputs.size() + 1) : inputs.size();
    support::Watchdog::Wait const wait(common_.watchdog,
                                       "a stream of " + std::to_string(inputs.size()));
    auto pool = common_.pool.with({.retries = {.times = many}});
    std::size_t taken = 0;
    try {
      if (one_in(2)) {
        for (std::int64_t const value : pool.imap<do_deed>(inputs)) {
          EXPECT_EQ(value, 3 * inputs[taken].id + 1);
          account_.known.push_back({inputs[taken].id, 1, 1 + many});
          if (++taken >= most) break;
        }
      } else {
        std::vector<bool> seen(inputs.size());
        for (auto const [index, value] : pool.imap_unordered<do_deed>(inputs)) {
          EXPECT_EQ(value, 3 * inputs[index].id + 1);
          EXPECT_FALSE(seen[index]) << index << " came twice";
          seen[index] = true;
          account_.known.push_back({inputs[index].id, 1, 1 + many});
          if (++taken >= most) break;
        }
      }
      EXPECT_GE(taken, most);
      account_.values += taken;
    } catch (procpool::TaskCancelled const&) {
      EXPECT_TRUE(ending()) << "nobody cancelled it";
    } catch (procpool::WorkerDied const& error) {
      EXPECT_TRUE(ending()) << error.what();
    }
  }

  // A continuation is called once; it submits to the same pool.
  void composes() {
    Call call{deed(), {}, {}};
    Deed const second = deed();
    auto called = std::make_shared<std::atomic<int>>(0);
    call.options.retries.times = many;
    auto& pool = common_.pool;
    auto sum = pool.with(call.options)
                   .submit<do_deed>(call.deed)
                   .then([&pool, second, called](std::int64_t first) {
                     called->fetch_add(1);
                     return pool.with({.retries = {.times = many}})
                         .submit<do_deed>(second)
                         .then([first](std::int64_t value) { return first + value; });
                   });
    support::Watchdog::Wait const wait(common_.watchdog, "a continuation");
    try {
      EXPECT_EQ(sum.get(), 3 * (call.deed.id + second.id) + 2);
      EXPECT_EQ(called->load(), 1);
      account_.known.push_back({call.deed.id, 1, 1 + many});
      account_.known.push_back({second.id, 1, 1 + many});
      account_.values += 2;
    } catch (procpool::TaskCancelled const&) {
      EXPECT_TRUE(ending()) << "nobody cancelled it";
    } catch (procpool::WorkerDied const& error) {
      EXPECT_TRUE(ending()) << error.what();
    }
  }
};

}  // namespace torture
