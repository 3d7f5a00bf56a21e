// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Producers and consumers of a queue are killed and stopped at random. Every item is accounted for, and
// the queue never stands still. Then a process writes junk all over its memory.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <new>
#include <procpool.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/duration.hpp"
#include "support/processes.hpp"
#include "support/seed.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::size_t producers = 2;
constexpr std::size_t consumers = 2;
constexpr std::uint64_t most = std::uint64_t{1} << 25;  // items of each producer

// 64 bytes, as in the measurements.
struct Item {
  std::uint64_t producer = 0;
  std::uint64_t number = 0;
  std::array<std::uint64_t, 6> rest{};
};

// What processes note, which survives them.
struct Record {
  struct Producer {
    std::atomic<std::uint64_t> begun{0};
    std::array<std::atomic<std::uint8_t>, most> pushed{};  // 1: the push has returned
    std::array<std::atomic<std::uint8_t>, most> given{};
  };
  std::array<Producer, producers> of;
  std::atomic<std::uint64_t> given{0};
  std::atomic<std::uint64_t> disordered{0};
  std::atomic<bool> over{false};
};

class Memory {
 public:
  Memory()
      : place_(::mmap(nullptr, sizeof(Record), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
    if (place_ == MAP_FAILED) throw std::runtime_error("no memory");
  }
  Memory(Memory const&) = delete;
  Memory& operator=(Memory const&) = delete;
  ~Memory() { ::munmap(place_, sizeof(Record)); }

  // The memory is zero, which is how it begins.
  Record& operator*() const { return *static_cast<Record*>(place_); }
  Record* operator->() const { return &**this; }

 private:
  void* place_;
};

using Queue = procpool::Queue<Item>;

void produce(Queue const& queue, Record& record, std::size_t producer) {
  auto& own = record.of.at(producer);
  while (!record.over) {
    std::uint64_t const number = own.begun++;
    if (number >= most) return;
    queue.push({producer, number, {}});
    own.pushed.at(number) = 1;
  }
}

void consume(Queue const& queue, Record& record, bool in_order) {
  std::array<std::int64_t, producers> last;
  last.fill(-1);
  for (Item const item : queue) {
    auto const number = static_cast<std::int64_t>(item.number);
    std::int64_t& before = last.at(item.producer);
    if (in_order && number <= before) ++record.disordered;
    before = number;
    ++record.of.at(item.producer).given.at(item.number);
    ++record.given;
  }
}

class Children {
 public:
  using Body = std::function<void(std::size_t)>;

  explicit Children(Body body) : body_(std::move(body)) {}
  Children(Children const&) = delete;
  Children& operator=(Children const&) = delete;
  ~Children() {
    for (pid_t const pid : pids_) {
      if (pid == 0) continue;
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
  }

  void start(std::size_t index) {
    pid_t const pid = ::fork();
    if (pid < 0) throw std::runtime_error("no process to be had");
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::alarm(300);
      int status = 0;
      try {
        body_(index);
      } catch (std::exception const& error) {
        std::cerr << "child: " << error.what() << std::endl;
        status = 1;
      }
      ::_exit(status);
    }
    pids_.resize(std::max(pids_.size(), index + 1));
    pids_.at(index) = pid;
  }
  pid_t pid(std::size_t index) const { return pids_.at(index); }
  void replace(std::size_t index) {
    ::kill(pids_.at(index), SIGKILL);
    ::waitpid(pids_.at(index), nullptr, 0);
    start(index);
  }
  bool join(std::size_t index, std::chrono::milliseconds limit) {
    int status = 0;
    bool const ended = support::until(
        [&] { return ::waitpid(pids_.at(index), &status, WNOHANG) == pids_.at(index); }, limit);
    if (ended) pids_.at(index) = 0;
    return ended && status == 0;
  }

 private:
  Body const body_;
  std::vector<pid_t> pids_;
};

struct Damage {
  std::uint64_t producers_killed = 0;
  std::uint64_t consumers_killed = 0;
  std::uint64_t stops = 0;
};

// Kills one of them every 2 to 10 ms, or stops it for 60 ms.
void torment(Children& children, Record& record, std::mt19937& random, Damage& damage) {
  auto const end = Clock::now() + support::duration();
  std::uint64_t given = 0;
  auto moved = Clock::now();
  int const slower = support::sanitized ? 10 : 1;
  while (Clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2 + random() % 9) * slower);
    std::size_t const victim = random() % (producers + consumers);
    if (random() % 6 == 0) {
      ::kill(children.pid(victim), SIGSTOP);
      std::this_thread::sleep_for(60ms);
      ::kill(children.pid(victim), SIGCONT);
      ++damage.stops;
    } else {
      children.replace(victim);
      ++(victim < producers ? damage.producers_killed : damage.consumers_killed);
    }
    if (record.given != given) moved = Clock::now();
    given = record.given;
    ASSERT_LT(Clock::now() - moved, 5s) << "the queue stands still after " << given << " items";
  }
}

struct Sum {
  std::uint64_t pushed = 0;   // certainly
  std::uint64_t missing = 0;  // of these, never given
  std::uint64_t twice = 0;    // given more often than once
  std::uint64_t given = 0;    // different ones
};

Sum sum_of(Record const& record) {
  Sum sum;
  for (auto const& one : record.of) {
    std::uint64_t const begun = std::min(one.begun.load(), most);
    for (std::uint64_t i = 0; i < begun; ++i) {
      int const given = one.given[i];
      sum.pushed += one.pushed[i];
      sum.missing += one.pushed[i] != 0 && given == 0 ? 1 : 0;
      sum.twice += given > 1 ? static_cast<std::uint64_t>(given - 1) : 0;
      sum.given += given != 0 ? 1 : 0;
    }
  }
  return sum;
}

void run(unsigned redeliver, Queue const& queue, Memory const& memory, Damage& damage) {
  std::mt19937 random(support::new_seed());
  Children children([&](std::size_t index) {
    if (index < producers) {
      produce(queue, *memory, index);
    } else {
      consume(queue, *memory, redeliver == 0);
    }
  });
  for (std::size_t i = 0; i < producers + consumers; ++i) children.start(i);
  torment(children, *memory, random, damage);
  ASSERT_FALSE(testing::Test::HasFatalFailure());
  memory->over = true;
  for (std::size_t i = 0; i < producers; ++i) ASSERT_TRUE(children.join(i, support::patience));
  queue.close();
  for (std::size_t i = producers; i < producers + consumers; ++i) {
    ASSERT_TRUE(children.join(i, support::patience));
  }
  EXPECT_TRUE(queue.drained());
  std::cout << memory->given << " given, " << damage.producers_killed << " producers and "
            << damage.consumers_killed << " consumers killed, " << damage.stops << " stops, "
            << queue.lost() << " lost" << std::endl;
}

TEST(TortureQueue, LosesNothing) {
  Queue const queue({.redeliver = 1'000});
  Memory const memory;
  Damage damage;
  run(1'000, queue, memory, damage);
  Sum const sum = sum_of(*memory);
  EXPECT_GT(sum.pushed, 0u);
  EXPECT_EQ(sum.missing, 0u);
  EXPECT_LE(sum.twice, damage.consumers_killed);
  EXPECT_EQ(queue.lost(), 0u);
}

TEST(TortureQueue, CountsWhatIsLost) {
  Queue const queue;
  Memory const memory;
  Damage damage;
  run(0, queue, memory, damage);
  Sum const sum = sum_of(*memory);
  EXPECT_GT(sum.pushed, 0u);
  EXPECT_EQ(sum.twice, 0u);
  EXPECT_LE(sum.missing, queue.lost());
  EXPECT_LE(queue.lost(), damage.consumers_killed);
  EXPECT_EQ(memory->disordered, 0u);
}

// The memory of the queue, which any process that has the queue can open.
std::string memory_of_queue() {
  for (int const fd : support::numbers_in("/proc/self/fd")) {
    std::string const path = "/proc/self/fd/" + std::to_string(fd);
    std::error_code none;
    auto const target = std::filesystem::read_symlink(path, none).string();
    if (target.find("procpool queue") != std::string::npos) return path;
  }
  throw std::runtime_error("there is no queue");
}

TEST(TortureQueue, SurvivesJunk) {
  unsigned const seed = support::new_seed();
  std::chrono::milliseconds longest{0};
  std::uint64_t broken = 0;
  std::uint64_t calls = 0;
  auto const end = Clock::now() + support::duration();
  // On a busy machine the process needs longer to do harm.
  auto const last = Clock::now() + support::patience;
  for (unsigned round = 0; Clock::now() < end || (broken == 0 && Clock::now() < last); ++round) {
    procpool::Queue<std::string> const queue({.items = 64, .redeliver = round % 2 * 3});
    std::string const path = memory_of_queue();
    Children scribbler([&](std::size_t) {
      int const fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
      std::mt19937_64 random(seed + round);
      for (;;) {
        std::uint64_t value = random();
        if (random() % 2 == 0) value &= 0xffff;
        std::uint64_t const place = random() % (random() % 2 == 0 ? 2'000 : 128 * 1024) & ~7ULL;
        if (::pwrite(fd, &value, sizeof value, static_cast<off_t>(place)) < 0) ::_exit(1);
      }
    });
    scribbler.start(0);
    auto const timed = [&](auto const& call) {
      support::Stopwatch const time;
      ++calls;
      try {
        call();
      } catch (procpool::Error const&) {
        ++broken;
      } catch (std::bad_alloc const&) {
      }
      longest = std::max(longest, time.passed());
    };
    for (int i = 0; i < 300; ++i) {
      timed([&] { queue.try_push(std::string(static_cast<std::size_t>(i), 'x')); });
      timed([&] { static_cast<void>(queue.pop_for(5ms)); });
      timed([&] { static_cast<void>(queue.lost()); });
    }
  }
  std::cout << calls << " calls, " << broken << " times an error, longest " << longest.count()
            << " ms" << std::endl;
  EXPECT_GT(broken, 0u);
  EXPECT_LT(longest, 10s);
}

}  // namespace
