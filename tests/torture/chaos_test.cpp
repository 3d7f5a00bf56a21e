// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Workers, and the fork server, are killed and stopped at random all the time: with retries every
// task has its right value, exactly once; no stream loses or doubles an element, no message of any
// size is mixed up, and nothing is left. TEST_SECONDS and TEST_SEED: for how long, and as which
// time.

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <numeric>
#include <procpool.hpp>
#include <random>
#include <ranges>
#include <string>
#include <thread>
#include <vector>

#include "support/seed.hpp"
#include "support/trace.hpp"
#include "torture/stress.hpp"

namespace {

using torture::Stress;

constexpr int retries = 20;

int work(int x) {
  support::Trace::note(x);
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  return 7 * x + 3;
}
// Short ones, of which some are long enough to be met.
std::uint64_t square(std::uint64_t x) {
  if (x % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return x * x;
}

// The like of it is at no other place of the text.
std::string text_of(std::size_t size, std::uint64_t seed) {
  std::string text(size, static_cast<char>('a' + seed % 26));
  constexpr std::size_t stride = 1021;
  for (std::size_t i = 0; i < size; i += stride) {
    text[i] = static_cast<char>(1 + (i / stride + seed) % 120);
  }
  return text;
}

std::size_t some_size(std::mt19937& random) {
  constexpr std::size_t kib = 1024;
  // Nothing, a page, what travels inline at most, the rings of pools with few and with many
  // workers.
  static constexpr std::size_t edges[] = {0, 1, 4 * kib, 16 * kib, 64 * kib, 256 * kib, 1024 * kib};
  std::size_t const edge = edges[random() % std::size(edges)];
  // Headers and lengths are added to it, a page or less.
  std::size_t const around = random() % 256;
  return edge < 128 ? edge + random() % 3 : edge - 128 + around;
}

}  // namespace

class Kills : public Stress {
 protected:
  // Maps of so many elements of 2 ms, one after the other.
  void run_maps(support::Chaos::Kinds kinds) {
    std::uint64_t const seed = support::new_seed();
    support::Trace trace;
    std::vector<int> inputs(static_cast<std::size_t>(support::long_form() ? 4'000 : 400));
    std::iota(inputs.begin(), inputs.end(), 0);
    procpool::ProcessPool pool{options(2)};
    support::Watchdog watchdog(&pool);
    support::Chaos chaos(support::chaos_name(), seed, kinds);
    std::uint64_t maps = 0;
    while (!time_is_over()) {
      trace.clear();
      auto results = pool.with({.retries = {.times = retries}}).map_async<work>(inputs);
      std::vector<int> values;
      {
        support::Watchdog::Wait const wait(watchdog, "a map of " + std::to_string(inputs.size()));
        values = results.get();
      }
      ++maps;
      ASSERT_EQ(values.size(), inputs.size());
      for (int const x : inputs) ASSERT_EQ(values[static_cast<std::size_t>(x)], 7 * x + 3);
      auto const counts = trace.counts();
      ASSERT_EQ(counts.size(), inputs.size());
      std::uint64_t begun = 0;
      for (auto const& [x, count] : counts) {
        ASSERT_LE(count, 1 + retries) << x;
        begun += static_cast<std::uint64_t>(count);
      }
      begun_ += begun;
    }
    auto const damage = chaos.stop();
    EXPECT_GT(damage.kills, 0u);
    EXPECT_EQ(pool.call([](int x) { return x; }, 5), 5);
    auto const stats = pool.stats();
    EXPECT_EQ(stats.submitted, maps * inputs.size() + 1);
    // An element that was begun once more was an attempt, which is counted.
    EXPECT_LE(begun_, maps * inputs.size() + stats.retries);
    add(pool, damage);
  }

  // So many texts at a time go there and back.
  void run_echoes(int at_a_time, support::Chaos::Kinds kinds, std::size_t (*size)(std::mt19937&)) {
    std::mt19937 random(support::new_seed());
    auto const echo = [](std::string text) { return text; };
    procpool::ProcessPool pool{options(3)};
    support::Watchdog watchdog(&pool);
    // Its pace knows nothing of how long a message takes on this machine.
    support::Chaos chaos(support::chaos_name(), random(), kinds);
    struct Call {
      std::string text;
      procpool::Future<std::string> future;
    };
    std::uint64_t calls = 0;
    while (!time_is_over()) {
      std::vector<Call> under_way;
      for (int i = 0; i < at_a_time; ++i) {
        std::string text = text_of(size(random), random());
        auto future = pool.with({.retries = {.times = 1'000}}).submit(echo, text);
        under_way.push_back({std::move(text), std::move(future)});
      }
      for (Call& call : under_way) {
        support::Watchdog::Wait const wait(watchdog,
                                           "a text of " + std::to_string(call.text.size()));
        bool const is_slow = !call.future.wait_for(std::chrono::seconds(3));
        chaos.rest(is_slow);
        ASSERT_TRUE(call.future.get() == call.text) << call.text.size();
        chaos.rest(false);
        ++calls;
      }
    }
    auto const damage = chaos.stop();
    EXPECT_GT(damage.kills + damage.stops, 0u);
    EXPECT_EQ(pool.stats().submitted, calls);
    add(pool, damage);
  }

 private:
  std::uint64_t begun_ = 0;
};

TEST_P(Kills, LoseNothing) { run_maps({.kills = true}); }
TEST_P(Kills, AndStopsLoseNothing) { run_maps({.kills = true, .stops = true}); }
TEST_P(Kills, AndStopsOfTheForkServerTooLoseNothing) { run_maps(everything()); }

TEST_P(Kills, MixUpNoMessageOfAnySize) { run_echoes(12, everything(), some_size); }

TEST_P(Kills, LoseNoLargeMessage) {
  auto kinds = everything();
  kinds.slower = 8;
  run_echoes(2, kinds, [](std::mt19937& random) {
    constexpr std::size_t largest = std::size_t{support::sanitized ? 4u : 64u} << 20;
    return random() % 4 == 0 ? largest : random() % (largest / 4);
  });
}

TEST_P(Kills, NeitherLoseNorDoubleElementsOfStreams) {
  std::mt19937 random(support::new_seed());
  procpool::ProcessPool pool{options(2)};
  support::Watchdog watchdog(&pool);
  support::Chaos chaos(support::chaos_name(), random(), everything());
  auto const elements = static_cast<std::uint64_t>(support::rounds(20'000, 2'000));
  auto const inputs = std::views::iota(std::uint64_t{0}, elements);
  for (int round = 0; !time_is_over(); ++round) {
    support::Watchdog::Wait const wait(watchdog, "stream " + std::to_string(round));
    // Every third is left in the middle.
    std::uint64_t const most = round % 3 == 2 ? random() % elements : elements;
    std::uint64_t taken = 0;
    if (round % 2 == 0) {
      for (std::uint64_t const result :
           pool.with({.retries = {.times = retries}}).imap<square>(inputs)) {
        ASSERT_EQ(result, taken * taken);
        if (++taken >= most) break;
      }
    } else {
      std::vector<bool> seen(elements);
      for (auto const [index, value] :
           pool.with({.retries = {.times = retries}}).imap_unordered<square>(inputs)) {
        ASSERT_EQ(value, index * index);
        ASSERT_FALSE(seen[index]) << index << " came twice";
        seen[index] = true;
        if (++taken >= most) break;
      }
    }
    EXPECT_EQ(taken, std::max<std::uint64_t>(most, 1));
  }
  auto const damage = chaos.stop();
  EXPECT_GT(damage.kills, 0u);
  pool.join();  // what streams have left behind
  add(pool, damage);
}

INSTANTIATE_TEST_SUITE_P(Start, Kills, torture::each_start());
