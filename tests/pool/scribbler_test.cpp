// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Workers that write anything anywhere they can, while the program reads: random bytes and words
// over all shared memory that they may write to, forged records, absurd cursors and marks, junk on
// their sockets and events, reports of crashes that never were. The program does not crash, hang,
// grow or believe: everybody in other workers is right, the scribbler's task ends, and its worker
// is replaced.
//
// The seed alone decides what a scribbler does: TEST_SEED gives the same again.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <map>
#include <procpool.hpp>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "channel/crash_words.hpp"
#include "channel/layout.hpp"
#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/processes.hpp"
#include "support/seed.hpp"
#include "support/send.hpp"
#include "support/until.hpp"
#include "support/worker_memory.hpp"

using namespace std::chrono_literals;

namespace {

namespace channel = procpool::channel;

class Scribbler {
 public:
  explicit Scribbler(unsigned seed) : random_(seed), memory_(support::writable_shared_memory()) {
    outbox_ = support::find_memory("procpool outbox");
    for (auto const& [number, target] : support::descriptors_of(::getpid())) {
      if (number > STDERR_FILENO) descriptors_.push_back(number);
      if (target.starts_with("socket:")) socket_ = number;
      if (target.find("eventfd") != std::string::npos) event_ = number;
    }
  }

  // True: it cannot go on.
  bool act() {
    switch (random_() % 16) {
      case 0:
      case 1: bytes(); break;
      case 2:
      case 3: junk_word(); break;
      case 4:
      case 5: near_word(); break;
      case 6: mark(); break;
      case 7:
      case 8: forge(); break;
      case 9: ring(); break;
      case 10: send(); break;
      case 11: report_crash(); break;
      case 12: std::this_thread::sleep_for(std::chrono::microseconds(random_() % 500)); break;
      case 13: look(); break;
      case 14:
        // Rarely: most of what comes after it finds nobody to talk to.
        if (random_() % 20 == 0) close_something();
        break;
      default:
        if (random_() % 100 == 0) ::shutdown(socket_, static_cast<int>(random_() % 3));
        break;
    }
    return false;
  }

  // In the end it dies, leaves, waits for its end, or returns as if nothing had been.
  void finish() {
    switch (random_() % 5) {
      case 0: ::raise(SIGKILL); break;
      case 1: ::raise(SIGSEGV); break;
      case 2: ::_exit(static_cast<int>(random_() % 3)); break;
      case 3: std::this_thread::sleep_for(20s); break;
      default: break;
    }
  }

 private:
  channel::OutboxWords& words() const {
    return *reinterpret_cast<channel::OutboxWords*>(outbox_.begin);
  }
  std::size_t ring_bytes() const { return (outbox_.size - channel::outbox_control_bytes) / 2; }
  // Of any size.
  std::uint64_t junk() { return random_() >> random_() % 64; }

  void bytes() {
    support::Memory const& memory = memory_[random_() % memory_.size()];
    std::size_t const at = random_() % memory.size;
    std::size_t const most = random_() % 4 == 0 ? memory.size : 256;
    std::size_t const count = random_() % std::min(most, memory.size - at);
    for (std::size_t i = 0; i < count; ++i)
      memory.begin[at + i] = static_cast<std::byte>(random_());
  }
  std::uint64_t* word() {
    support::Memory const& memory = memory_[random_() % memory_.size()];
    // Mostly one of those that mean something.
    std::size_t const at = random_() % 4 == 0 ? random_() % (memory.size / 8) * 8
                                              : random_() % 8 * channel::line + random_() % 3 * 8;
    return reinterpret_cast<std::uint64_t*>(memory.begin + at % memory.size);
  }
  void junk_word() { *word() = junk(); }
  void near_word() { *word() += random_() % 129 - 64; }
  void mark() {
    auto const claim = words().claim.load();
    words().claim = claim + random_() % 70 - 3;
    words().done = channel::pack_done(claim + random_() % 70 - 3, random_() % 4096);
    words().inbox_head = words().inbox_head + random_() % 5 * 64;
    words().listens = claim;
    words().stage = static_cast<std::uint32_t>(random_() % 7);
    words().exit_hint = static_cast<std::uint32_t>(random_() % 5);
  }
  void forge() {
    channel::OutboxHeader header{};
    header.kind = static_cast<channel::OutboxKind>(random_() % 4);
    header.where = static_cast<channel::Where>(random_() % 4);
    header.size = random_() % 3 == 0 ? junk() : random_() % 5 * 4;
    header.serial = words().claim.load() - random_() % 3;
    header.count = random_() % 3 == 0 ? junk() : random_() % 3;
    header.nanoseconds = junk();
    std::uint64_t const tail = words().tail;
    std::byte* const ring = outbox_.begin + channel::outbox_control_bytes;
    std::memcpy(ring + tail % ring_bytes(), &header, sizeof header);
    words().tail =
        tail + (random_() % 8 == 0 ? junk() : channel::aligned(sizeof header + header.size % 64));
  }
  void ring() {
    std::uint64_t const value = random_() % 4 == 0 ? ~std::uint64_t{1} : 1;
    // It would block once the event is full.
    ::fcntl(event_, F_SETFL, O_NONBLOCK);
    for (auto i = random_() % 2000; i != 0; --i)
      static_cast<void>(!::write(event_, &value, sizeof value));
  }
  void send() {
    std::vector<int> given;
    int const fresh = ::memfd_create("procpool result", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    static_cast<void>(!::ftruncate(fresh, static_cast<off_t>(random_() % 100'000)));
    if (random_() % 2 == 0) ::fcntl(fresh, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE | F_SEAL_GROW);
    for (auto i = random_() % 4; i != 0; --i) {
      given.push_back(random_() % 2 == 0 ? fresh : descriptors_[random_() % descriptors_.size()]);
    }
    std::vector<std::byte> noise(random_() % 300);
    for (std::byte& byte : noise) byte = static_cast<std::byte>(random_());
    for (auto i = random_() % 10 == 0 ? 1000 : 1; i != 0; --i) {
      support::send_with(socket_, noise, given);
    }
    // A lease that it still has may change at any time.
    ::close(fresh);
  }
  void report_crash() {
    auto* const crash = reinterpret_cast<std::uint64_t*>(outbox_.begin + channel::crash_offset);
    for (std::size_t i = 0; i < sizeof(channel::CrashWords) / 8; ++i) {
      if (random_() % 2 == 0) crash[i] = junk();
    }
    crash[0] = std::array<std::uint64_t, 3>{SIGSEGV, SIGKILL, 0}[random_() % 3];
  }
  // At what is the program's: to be read only.
  void look() {
    support::Memory const inbox = support::find_memory("procpool inbox");
    if (::mprotect(inbox.begin, inbox.size, PROT_READ | PROT_WRITE) == 0) ::_exit(77);
  }
  void close_something() { ::close(descriptors_[random_() % descriptors_.size()]); }

  std::mt19937_64 random_;
  std::vector<support::Memory> memory_;
  support::Memory outbox_;
  std::vector<int> descriptors_;
  int socket_ = -1;
  int event_ = -1;
};

// A task that is nothing but that.
int scribble(unsigned seed) {
  std::mt19937 random(seed);
  Scribbler scribbler(seed);
  for (auto acts = random() % 60; acts != 0; --acts) scribbler.act();
  scribbler.finish();
  return 0;
}

// A task that leaves a scribbling thread behind while its worker goes on.
int scribble_on(unsigned seed) {
  static std::atomic<bool> running{false};
  if (!running.exchange(true)) {
    std::thread([seed] {
      Scribbler scribbler(seed);
      for (int acts = 0; acts < 400; ++acts) scribbler.act();
      scribbler.finish();
      ::raise(SIGKILL);
    }).detach();
  }
  std::this_thread::sleep_for(std::chrono::microseconds(seed % 100));
  return 0;
}

// Its race with who reads there is meant.
__attribute__((no_sanitize("thread"))) void scribble_once(support::Memory const& memory,
                                                          std::mt19937_64& random) {
  auto* const words = reinterpret_cast<std::uint64_t*>(memory.begin);
  words[random() % (memory.size / sizeof *words)] = random();
}

// A task that scribbles over its large result while the program reads it.
std::vector<std::string> scribble_over_a_result(unsigned seed) {
  std::thread([seed] {
    std::mt19937_64 random(seed);
    auto const end = std::chrono::steady_clock::now() + 50ms;
    while (std::chrono::steady_clock::now() < end) {
      for (support::Memory const& memory : support::writable_shared_memory()) {
        for (int i = 0; i < 1000; ++i) scribble_once(memory, random);
      }
    }
    ::raise(SIGKILL);
  }).detach();
  return std::vector<std::string>(2'000, std::string(100, 'r'));
}

struct Answer {
  std::uint64_t input = 0;
  std::uint64_t product = 0;
};
Answer honest(std::uint64_t x) { return {x, x * 0x9e37'79b9'7f4a'7c15u}; }
std::string honest_and_large(std::uint64_t x) {
  return std::string(70'000, static_cast<char>('a' + x % 26));
}

std::uint64_t resident_bytes() {
  std::istringstream sizes(support::read_text("/proc/self/statm"));
  std::uint64_t all = 0;
  std::uint64_t resident = 0;
  sizes >> all >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

// Keys that are bound to other workers than this one.
std::vector<int> keys_elsewhere(procpool::ProcessPool& pool, int key) {
  std::vector<int> keys;
  int const there = pool.with({.key = key}).call(procpool::worker_index);
  for (int other = key + 1; other < key + 20; ++other) {
    if (pool.with({.key = other}).call(procpool::worker_index) != there) keys.push_back(other);
  }
  return keys;
}

// Beside the hostile tasks, which one worker gets, and its replacements, others run in the others.
template <class Hostile>
void expect_others_unharmed(procpool::PoolOptions options, int rounds, Hostile const& hostile) {
  unsigned const seed = support::new_seed();
  options.workers = 3;
  {
    procpool::ProcessPool pool{options};
    auto const keys = keys_elsewhere(pool, 1);
    ASSERT_GE(keys.size(), 5u);
    std::uint64_t before = 0;
    for (int round = 0; round < rounds; ++round) {
      unsigned const now = seed + static_cast<unsigned>(round) * 1000;
      SCOPED_TRACE("TEST_SEED=" + std::to_string(seed) + ", round " + std::to_string(round));
      hostile(pool.with({.timeout = 400ms, .key = 1}), now, [&] {
        std::vector<procpool::Future<Answer>> others;
        for (int i = 0; i < 100; ++i) {
          int const key = keys[static_cast<std::size_t>(i) % keys.size()];
          others.push_back(
              pool.with({.key = key}).submit<honest>(now + static_cast<std::uint64_t>(i)));
        }
        auto large = pool.with({.key = keys.front()}).submit<honest_and_large>(std::uint64_t{now});
        for (std::size_t i = 0; i < others.size(); ++i) {
          Answer const got = others[i].get();
          Answer const want = honest(now + i);
          ASSERT_EQ(got.input, want.input);
          ASSERT_EQ(got.product, want.product);
        }
        ASSERT_EQ(large.get(), honest_and_large(now));
      });
      if (testing::Test::HasFatalFailure()) return;
      // It keeps what it needs for its own work, and nothing that a worker has talked it into.
      if (round == 1) before = resident_bytes();
      if (round > 1 && !support::sanitized) {
        ASSERT_LT(resident_bytes(), before + (64u << 20));
      }
    }
    EXPECT_GT(pool.stats().worker_deaths, 0u);
    // The worst of them is gone by now: whoever comes is right, wherever.
    ASSERT_TRUE(support::until([&] {
      try {
        return pool.with({.key = 1}).call<honest>(std::uint64_t{7}).product == honest(7).product;
      } catch (procpool::Error const&) {
        return false;
      }
    }));
  }
  EXPECT_TRUE(support::until([] { return support::children_of(::getpid()).empty(); }));
}

// Of a task that scribbled: a value, or an error of ours. (77: what must not be writable was.)
void expect_an_end(procpool::Future<int>& future) {
  ASSERT_TRUE(future.wait_for(30s)) << "it hangs";
  try {
    future.get();
  } catch (procpool::WorkerDied const& died) {
    EXPECT_NE(died.exit_status(), 77);
    EXPECT_LE(died.stack().size(), 64u);
    static_cast<void>(procpool::describe(std::current_exception()));
  } catch (procpool::Error const&) {
  }
}

}  // namespace

TEST(Scribbler, CostsNobodyElse) {
  expect_others_unharmed({}, support::rounds(40, 10),
                         [](auto view, unsigned seed, auto const& others) {
                           std::vector<procpool::Future<int>> futures;
                           for (unsigned i = 0; i < 3; ++i)
                             futures.push_back(view.template submit<scribble>(seed + i));
                           others();
                           for (auto& future : futures) expect_an_end(future);
                         });
}

TEST(Scribbler, InAThreadWhileItsWorkerGoesOn) {
  expect_others_unharmed({}, support::rounds(15, 5),
                         [](auto view, unsigned seed, auto const& others) {
                           std::vector<procpool::Future<int>> futures;
                           for (unsigned i = 0; i < 50; ++i)
                             futures.push_back(view.template submit<scribble_on>(seed + i));
                           others();
                           for (auto& future : futures) expect_an_end(future);
                         });
}

TEST(Scribbler, OverItsLargeResult) {
  expect_others_unharmed({}, support::rounds(15, 5),
                         [](auto view, unsigned seed, auto const& others) {
                           auto future = view.template submit<scribble_over_a_result>(seed);
                           others();
                           ASSERT_TRUE(future.wait_for(30s)) << "it hangs";
                           try {
                             EXPECT_LE(future.get().size(), 1'000'000u);
                           } catch (procpool::Error const&) {
                           }
                         });
}

TEST(Scribbler, ThatWasForked) {
  procpool::PoolOptions options;
  options.start.method = procpool::Start::forkserver;
  expect_others_unharmed(options, support::rounds(20, 5),
                         [](auto view, unsigned seed, auto const& others) {
                           auto future = view.template submit<scribble>(seed);
                           others();
                           expect_an_end(future);
                         });
}
