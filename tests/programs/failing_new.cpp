// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A host whose memory is refused now and then: its operator new fails at random for what is not
// small. Arguments: from how many bytes on, one in how many, for how many rounds, a seed. Calls may
// end with std::bad_alloc, or a SetupError that tells of it; nothing is lost, nothing hangs, and
// the pool works on. Status 0: that was so.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <new>
#include <numeric>
#include <random>
#include <thread>

#include "common.hpp"

namespace {

std::atomic<bool> armed{false};
std::atomic<std::uint64_t> failures{0};
std::size_t least = 0;
unsigned one_in = 1;
unsigned seed = 0;

bool fails(std::size_t size) {
  if (!armed.load(std::memory_order_relaxed) || size < least) return false;
  static std::atomic<unsigned> threads{0};
  // Allocates nothing.
  static thread_local std::minstd_rand random(seed + threads++);
  if (random() % one_in != 0) return false;
  failures.fetch_add(1, std::memory_order_relaxed);
  return true;
}

void* allocate(std::size_t size) {
  if (!fails(size)) {
    if (void* const place = std::malloc(size)) return place;
  }
  throw std::bad_alloc();
}

std::string make(std::size_t size) { return std::string(size, 'm'); }
std::size_t size_of(std::string const& text) { return text.size(); }
std::vector<int> echo(std::vector<int> xs) { return xs; }
int die(int x) { return x + ::raise(SIGKILL); }
int die_sometimes(int x) {
  if (::getpid() % 3 == 0 && x % 50 == 0) ::raise(SIGKILL);
  return x * x;
}

// Results that lie in the open record when the one behind them dies: more than a page of them.
std::string texts_and_a_death(int x) {
  if (x % 40 == 39) ::raise(SIGKILL);
  return std::string(500, 't');
}

std::uint64_t values = 0;
std::uint64_t refusals = 0;

template <class Call>
void well(Call&& call) {
  try {
    call();
    ++values;
    return;
  } catch (std::bad_alloc const&) {
  } catch (procpool::SetupError const& error) {
    programs::check(std::string(error.what()).find("alloc") != std::string::npos, error.what());
  } catch (procpool::Error const& error) {
    programs::check(false, error.what());
  }
  ++refusals;
}

void use(procpool::ProcessPool& pool, int round) {
  using programs::check;
  std::vector<int> inputs(200);
  std::iota(inputs.begin(), inputs.end(), round);
  well([&] { check(pool.call<programs::square>(round) == round * round, "a call"); });
  well([&] { check(pool.call<make>(5'000).size() == 5'000, "a result"); });
  well([&] { check(pool.call<make>(300'000).size() == 300'000, "a large result"); });
  well([&] { check(pool.call<size_of>(make(20'000)) == 20'000, "an argument"); });
  well([&] { check(pool.call<size_of>(make(400'000)) == 400'000, "a large argument"); });
  well([&] { check(pool.call<echo>(inputs) == inputs, "a vector"); });
  well([&] {
    check(pool.map<programs::square>(inputs).back() == inputs.back() * inputs.back(), "a map");
  });
  well([&] {
    auto const values_of =
        pool.with({.chunk = 7, .retries = {.times = 10}}).map<die_sometimes>(inputs);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      check(values_of[i] == inputs[i] * inputs[i], "a map under deaths");
    }
  });
  well([&] {
    auto const outcomes = pool.with({.chunk = 40}).outcomes().map<texts_and_a_death>(inputs);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      try {
        check(outcomes[i].value() == std::string(500, 't'), "a text");
      } catch (procpool::WorkerDied const&) {
        check(inputs[i] % 40 == 39, "the one that died");
      } catch (procpool::SetupError const& error) {  // its result could not be kept
        check(std::string(error.what()).find("alloc") != std::string::npos, error.what());
      }
    }
  });
  well([&] {
    try {
      pool.call<die>(1);
      check(false, "a death");
    } catch (procpool::WorkerDied const&) {
    }
  });
  well([&] {
    std::size_t next = 0;
    for (int const value : pool.imap<programs::square>(inputs)) {
      check(value == inputs[next] * inputs[next], "a stream");
      ++next;
    }
    check(next == inputs.size(), "the end of a stream");
  });
  well([&] {
    auto running = pool.map_async<programs::square>(inputs);
    running.cancel();
    running.wait();
  });
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
// Not inlined: GCC would see free() on what came from `new`, and warn of the mismatch that is ours.
[[gnu::noinline]] void operator delete(void* place) noexcept { std::free(place); }
[[gnu::noinline]] void operator delete(void* place, std::size_t) noexcept { std::free(place); }

int main(int argc, char** argv) {
  programs::check(argc == 5, "four arguments");
  least = static_cast<std::size_t>(std::atol(argv[1]));
  one_in = static_cast<unsigned>(std::atol(argv[2]));
  int const rounds = std::atoi(argv[3]);
  seed = static_cast<unsigned>(std::atol(argv[4]));
  for (auto const start : {procpool::Start::spawn, procpool::Start::forkserver}) {
    procpool::PoolOptions options;
    options.workers = 2;
    options.start.method = start;
    options.log = [](std::string_view) {};
    procpool::ProcessPool pool{options};
    programs::check(pool.call<programs::square>(3) == 9, "a call before");
    armed = true;
    for (int round = 0; round < rounds; ++round) use(pool, round);
    armed = false;
    programs::check(pool.call<programs::square>(3) == 9, "a call after");
    auto const stats = pool.stats();
    programs::check(stats.done == stats.submitted, "nothing is open");
  }
  std::printf("%llu calls went well, %llu were refused, %llu allocations failed\n",
              static_cast<unsigned long long>(values), static_cast<unsigned long long>(refusals),
              static_cast<unsigned long long>(failures.load()));
}
