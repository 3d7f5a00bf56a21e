// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A process that uses a queue dies, or is stopped, at each sync point of push, pop, taking over,
// counting and closing. No item is lost or doubled beyond what is promised, and nobody waits for
// ever.

#include "support/observed.hpp"  // first

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "handle/byte_queue.hpp"
#include "os/memfd.hpp"
#include "support/processes.hpp"
#include "support/until.hpp"

namespace {

namespace handle = procpool::handle;
using handle::ByteQueue;
using procpool::sync_points::SyncPoint;
using Push = ByteQueue::Push;
using Pop = ByteQueue::Pop;
using namespace std::chrono_literals;

struct Named {
  SyncPoint point;
  char const* name;
};
constexpr std::array names = {
    Named{SyncPoint::lock_taken, "lock_taken"},
    Named{SyncPoint::lock_released, "lock_released"},
    Named{SyncPoint::queue_tray_filled, "tray_filled"},
    Named{SyncPoint::queue_record_written, "record_written"},
    Named{SyncPoint::queue_committed, "committed"},
    Named{SyncPoint::queue_ring_copied, "ring_copied"},
    Named{SyncPoint::queue_ring_grown, "ring_grown"},
    Named{SyncPoint::queue_ring_shrunk, "ring_shrunk"},
    Named{SyncPoint::queue_closed, "closed"},
    Named{SyncPoint::queue_seated, "seated"},
    Named{SyncPoint::queue_hand_taking, "hand_taking"},
    Named{SyncPoint::queue_taken, "taken"},
    Named{SyncPoint::queue_hand_full, "hand_full"},
    Named{SyncPoint::queue_hand_cleared, "hand_cleared"},
    Named{SyncPoint::queue_settled, "settled"},
    Named{SyncPoint::queue_losing, "losing"},
    Named{SyncPoint::queue_lost, "lost"},
    Named{SyncPoint::queue_orphan_cleared, "orphan_cleared"},
    Named{SyncPoint::queue_seat_freed, "seat_freed"},
    Named{SyncPoint::queue_parked, "parked"},
    Named{SyncPoint::queue_woken, "woken"},
    Named{SyncPoint::queue_unparked, "unparked"},
    Named{SyncPoint::queue_rung, "rung"},
};

std::string name_of(SyncPoint point) {
  for (Named const& one : names) {
    if (one.point == point) return one.name;
  }
  return "another point";
}

constexpr auto limit = 10s;

ByteQueue::Deadline soon(std::chrono::milliseconds time = limit) {
  return std::chrono::steady_clock::now() + time;
}

// What the victim has done, which survives it.
struct Log {
  std::atomic<int> pushed{0};  // pushes that have returned
  std::atomic<int> popped{0};  // pops that have returned
  std::atomic<int> acknowledged{0};
  std::array<std::atomic<int>, 64> items{};  // that it has popped, in their order
  std::atomic<bool> closed{false};
  std::atomic<bool> met{false};    // the parent has done its part
  std::atomic<unsigned> point{0};  // the one at which it died or stopped
};

struct Shape {
  std::uint64_t items = 16;
  std::uint64_t bytes = 1 << 20;
  std::uint64_t redeliver = 0;
  std::uint64_t tray = 0;
};

// Items are numbers, in texts of a size.
std::vector<std::byte> item_of(int number, std::size_t size) {
  std::vector<std::byte> bytes(std::max(size, sizeof number), std::byte{0x5a});
  std::memcpy(bytes.data(), &number, sizeof number);
  return bytes;
}

// If the queue has a tray, with a file that has the number too.
Push push_item(ByteQueue& queue, int number, std::size_t size,
               ByteQueue::Deadline const& deadline) {
  auto const item = item_of(number, size);
  if (queue.shape().tray == 0) return queue.push(item, deadline);
  auto file = procpool::os::Memfd::create("procpool-test", sizeof number);
  file.write_at(std::as_bytes(std::span(&number, 1)), 0);
  int const fd = file.fd();
  return queue.push(item, deadline, std::span(&fd, 1));
}

// -1: there is none.
int pop_item(ByteQueue& queue, ByteQueue::Deadline const& deadline) {
  procpool::detail::Bytes bytes;
  std::vector<procpool::os::UniqueFd> descriptors;
  if (queue.pop(bytes, deadline, &descriptors) != Pop::item) return -1;
  int number = 0;
  std::memcpy(&number, bytes.data(), sizeof number);
  if (queue.shape().tray != 0) {
    if (descriptors.size() != 1) throw std::runtime_error("an item without its descriptor");
    int in_file = -1;
    procpool::os::Memfd(std::move(descriptors.front()))
        .read_at(std::as_writable_bytes(std::span(&in_file, 1)), 0);
    if (in_file != number) throw std::runtime_error("an item with the descriptor of another one");
  }
  return number;
}

class Trial {
 public:
  enum class End { dies, stops };

  // `victim` runs in a process that dies or stops at its n-th point.
  Trial(std::shared_ptr<ByteQueue> queue, std::function<void(Trial&)> victim, unsigned point,
        End end)
      : queue_(std::move(queue)),
        log_(::new(::mmap(nullptr, sizeof(Log), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                          -1, 0)) Log),
        pid_(::fork()) {
    if (pid_ < 0) throw std::runtime_error("no process to be had");
    if (pid_ != 0) return;
    ::alarm(60);
    unsigned passed = 0;
    procpool::sync_points::observer = [this, &passed, point, end](SyncPoint at) {
      if (++passed != point) return;
      log_->point = static_cast<unsigned>(at);
      ::raise(end == End::dies ? SIGKILL : SIGSTOP);
    };
    int status = 0;
    try {
      victim(*this);
    } catch (std::exception const& error) {
      std::fprintf(stderr, "victim: %s\n", error.what());
      status = 1;
    }
    procpool::sync_points::observer = nullptr;
    ::_exit(status);
  }
  Trial(Trial const&) = delete;
  Trial& operator=(Trial const&) = delete;
  ~Trial() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::munmap(log_, sizeof(Log));
  }

  ByteQueue& queue() { return *queue_; }
  Log& log() { return *log_; }
  SyncPoint point() const { return static_cast<SyncPoint>(log_->point.load()); }

  // ---- the victim
  void push(int number, std::size_t size = 16) {
    if (push_item(*queue_, number, size, soon()) != Push::done) {
      throw std::runtime_error("a push did not end");
    }
    ++log_->pushed;
  }
  // Notes the item; -1 for none.
  int pop(ByteQueue::Deadline const& deadline = soon()) {
    // To ask again acknowledges.
    int const number = pop_item(*queue_, deadline);
    log_->acknowledged = log_->popped.load();
    if (number < 0) return -1;
    log_->items.at(static_cast<std::size_t>(log_->popped)) = number;
    ++log_->popped;
    return number;
  }
  void done() {
    queue_->done();
    log_->acknowledged = log_->popped.load();
  }

  // ---- the parent

  // Waits until the victim has died, was stopped, or is through. True: it came to the point.
  bool wait() {
    int status = 0;
    if (::waitpid(pid_, &status, WUNTRACED) != pid_) throw std::runtime_error("waitpid");
    if (WIFSTOPPED(status)) return true;
    pid_ = -1;
    EXPECT_TRUE(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0)
        << status << " at " << name_of(point());
    return WIFSIGNALED(status);
  }
  // True if the victim has died, was stopped, or is through.
  bool over() const {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(pid_), &info,
                    WEXITED | WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid != 0;
  }
  void until_asleep() const {
    support::until([&] { return over() || support::asleep(pid_); });
  }
  void go_on(std::function<void(Trial&)> const& meanwhile) {
    ::kill(pid_, SIGCONT);
    if (meanwhile) meanwhile(*this);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    EXPECT_EQ(status, 0) << name_of(point());
  }
  // All that is there now, also from hands of the dead.
  std::vector<int> take_rest() {
    std::vector<int> numbers;
    for (int number = 0; (number = pop_item(*queue_, ByteQueue::at_once)) >= 0;) {
      numbers.push_back(number);
    }
    return numbers;
  }
  std::vector<int> victims() const {
    std::vector<int> numbers;
    for (int i = 0; i < log_->popped; ++i) {
      numbers.push_back(log_->items.at(static_cast<std::size_t>(i)));
    }
    return numbers;
  }

 private:
  std::shared_ptr<ByteQueue> const queue_;
  Log* const log_;
  pid_t pid_;
};

// Each scenario: how the queue is made ready, what the victim does, and what must be true after it
// has died or gone on.
struct Scenario {
  char const* name;
  Shape shape;
  std::function<void(ByteQueue&)> prepare;
  std::function<void(Trial&)> victim;
  // While the victim runs, and before its end is known. May be empty.
  std::function<void(Trial&)> meanwhile;
  std::function<void(Trial&)> check;
};

void push_all(ByteQueue& queue, int from, int to, std::size_t size = 16) {
  for (int i = from; i < to; ++i) ASSERT_EQ(push_item(queue, i, size, soon()), Push::done);
}

// Numbers from `from` on, each once and in order.
void expect_in_order(std::vector<int> const& numbers, int from, int least, int most) {
  EXPECT_GE(static_cast<int>(numbers.size()), least);
  EXPECT_LE(static_cast<int>(numbers.size()), most);
  for (std::size_t i = 0; i < numbers.size(); ++i)
    EXPECT_EQ(numbers[i], from + static_cast<int>(i));
}

// Another process has died with an item in hand.
void leave_an_orphan(ByteQueue& queue) {
  pid_t const pid = ::fork();
  if (pid == 0) {
    procpool::detail::Bytes bytes;
    queue.pop(bytes, soon());
    ::raise(SIGKILL);
  }
  ::waitpid(pid, nullptr, 0);
}

void expect_pushed(Trial& trial) {
  // The push that did not return may have been committed.
  int const pushed = trial.log().pushed;
  expect_in_order(trial.take_rest(), 0, pushed, pushed + 1);
  EXPECT_EQ(trial.queue().lost(), 0u);
}

// Each item once: with the victim, with the parent, or lost in the victim's hand.
void expect_each_once(Trial& trial, int count) {
  auto const rest = trial.take_rest();
  std::map<int, int> times;
  for (int const number : trial.victims()) ++times[number];
  for (int const number : rest) ++times[number];
  int missing = 0;
  for (int i = 0; i < count; ++i) {
    EXPECT_LE(times[i], 1) << i;
    missing += times[i] == 0 ? 1 : 0;
  }
  std::uint64_t const lost = trial.queue().lost();
  EXPECT_LE(lost, 1u);
  EXPECT_LE(missing, static_cast<int>(lost));
  EXPECT_EQ(trial.queue().lost(), lost);
}

// Each item that the victim has not acknowledged is given again; only the one in its hand is given
// twice.
void expect_each_at_least_once(Trial& trial, int count) {
  auto const rest = trial.take_rest();
  auto const victims = trial.victims();
  std::map<int, int> times;
  for (int const number : rest) ++times[number];
  for (std::size_t i = 0; i < victims.size(); ++i) {
    // To ask for the next one acknowledges, also if nothing was written down yet.
    bool const certain = static_cast<int>(i) < trial.log().acknowledged;
    EXPECT_LE(times[victims[i]], certain ? 0 : 1) << victims[i];
    ++times[victims[i]];
  }
  for (int i = 0; i < count; ++i) {
    EXPECT_GE(times[i], 1) << i;
    EXPECT_LE(times[i], 2) << i;
  }
  EXPECT_EQ(trial.queue().lost(), 0u);
}

std::vector<Scenario> scenarios() {
  std::vector<Scenario> all;
  auto const nothing = [](ByteQueue&) {};
  all.push_back({"push",
                 {},
                 nothing,
                 [](Trial& trial) {
                   for (int i = 0; i < 4; ++i) trial.push(i);
                 },
                 nullptr,
                 expect_pushed});
  all.push_back({"push into a ring that grows",
                 {16, 4 << 20},
                 [](ByteQueue& queue) {
                   // Records lie across the end of the part in use.
                   for (int i = 0; i < 3; ++i) {
                     queue.push(item_of(i, 20'000));
                     procpool::detail::Bytes bytes;
                     queue.pop(bytes);
                   }
                 },
                 [](Trial& trial) {
                   trial.push(0, 30'000);
                   trial.push(1, 200'000);
                   trial.push(2, 900'000);
                 },
                 nullptr,
                 expect_pushed});
  all.push_back({"push into a full queue",
                 {2},
                 nothing,
                 [](Trial& trial) {
                   for (int i = 0; i < 6; ++i) trial.push(i);
                 },
                 [](Trial& trial) {
                   // Some room, once it waits.
                   trial.until_asleep();
                   while (trial.log().popped < 4) {
                     bool const over = trial.over();
                     int const number = pop_item(trial.queue(), soon(5ms));
                     if (number < 0) {
                       if (over) return;
                       continue;
                     }
                     // The log has no other user of these in this scenario.
                     trial.log().items.at(static_cast<std::size_t>(trial.log().popped)) = number;
                     ++trial.log().popped;
                   }
                 },
                 [](Trial& trial) {
                   auto numbers = trial.victims();
                   for (int const number : trial.take_rest()) numbers.push_back(number);
                   int const pushed = trial.log().pushed;
                   expect_in_order(numbers, 0, pushed, pushed + 1);
                 }});
  auto const pops = [](Trial& trial) {
    for (int i = 0; i < 3; ++i) trial.pop();
    trial.done();
  };
  for (std::uint64_t const redeliver : {0u, 2u}) {
    for (std::size_t const size : {std::size_t{16}, std::size_t{9'000}}) {
      all.push_back({redeliver == 0 ? "pop" : "pop of items that are given again",
                     {16, 1 << 20, redeliver},
                     [size](ByteQueue& queue) { push_all(queue, 0, 5, size); },
                     pops,
                     nullptr,
                     [redeliver](Trial& trial) {
                       if (redeliver == 0) {
                         expect_each_once(trial, 5);
                       } else {
                         expect_each_at_least_once(trial, 5);
                       }
                     }});
    }
  }
  for (bool const filled : {false, true}) {
    all.push_back(
        {filled ? "push into a tray full of packets of nobody" : "push of items with descriptors",
         {16, 1 << 20, 0, 1},
         [filled](ByteQueue& queue) {
           int const tray = queue.descriptors()[1];
           while (filled && ::send(tray, "junk", 4, MSG_DONTWAIT) == 4) {
           }
         },
         [](Trial& trial) {
           for (int i = 0; i < 3; ++i) trial.push(i);
         },
         nullptr,
         [](Trial& trial) {
           // A packet of nobody may lie ahead of theirs.
           int const pushed = trial.log().pushed;
           push_all(trial.queue(), 90, 92);
           auto rest = trial.take_rest();
           ASSERT_GE(rest.size(), 2u);
           EXPECT_EQ(rest.at(rest.size() - 2), 90);
           EXPECT_EQ(rest.back(), 91);
           rest.resize(rest.size() - 2);
           expect_in_order(rest, 0, pushed, pushed + 1);
         }});
  }
  all.push_back({"pop of items with descriptors",
                 {16, 1 << 20, 5, 1},
                 [](ByteQueue& queue) { push_all(queue, 0, 4); },
                 pops,
                 nullptr,
                 [](Trial& trial) { expect_each_once(trial, 4); }});
  all.push_back({"pop from an empty queue",
                 {},
                 nothing,
                 [](Trial& trial) {
                   for (int i = 0; i < 3; ++i) trial.pop();
                   trial.done();
                 },
                 [](Trial& trial) {
                   for (; trial.log().pushed < 3; ++trial.log().pushed) {
                     trial.until_asleep();
                     push_all(trial.queue(), trial.log().pushed, trial.log().pushed + 1);
                   }
                 },
                 [](Trial& trial) { expect_each_once(trial, 3); }});
  all.push_back({"take an orphan over",
                 {16, 1 << 20, 5},
                 [](ByteQueue& queue) {
                   push_all(queue, 0, 2, 9'000);
                   leave_an_orphan(queue);
                 },
                 [](Trial& trial) {
                   trial.pop();
                   trial.pop();
                   trial.done();
                 },
                 nullptr,
                 [](Trial& trial) { expect_each_at_least_once(trial, 2); }});
  all.push_back({"count a lost item",
                 {},
                 [](ByteQueue& queue) {
                   push_all(queue, 0, 1);
                   leave_an_orphan(queue);
                 },
                 [](Trial& trial) { trial.queue().lost(); },
                 nullptr,
                 [](Trial& trial) { EXPECT_EQ(trial.queue().lost(), 1u); }});
  all.push_back({"count an item that was given too often",
                 {16, 1 << 20, 1},
                 [](ByteQueue& queue) {
                   push_all(queue, 0, 2);
                   leave_an_orphan(queue);
                   leave_an_orphan(queue);
                 },
                 [](Trial& trial) {
                   EXPECT_EQ(trial.pop(), 1);
                   trial.done();
                 },
                 nullptr,
                 [](Trial& trial) {
                   auto const rest = trial.take_rest();
                   for (int const number : rest) EXPECT_EQ(number, 1);
                   EXPECT_LE(rest.size(), 1u);
                   EXPECT_EQ(trial.queue().lost(), 1u);
                 }});
  all.push_back({"close",
                 {},
                 [](ByteQueue& queue) { push_all(queue, 0, 1); },
                 [](Trial& trial) {
                   trial.queue().close();
                   trial.log().closed = true;
                 },
                 [](Trial& trial) {
                   if (trial.log().met.exchange(true)) return;
                   // Sleeps, or is about to, when the queue is closed.
                   EXPECT_EQ(trial.take_rest().size(), 1u);
                   procpool::detail::Bytes bytes;
                   trial.queue().pop(bytes, soon(200ms));
                 },
                 [](Trial& trial) {
                   procpool::detail::Bytes bytes;
                   Pop const end = trial.queue().pop(bytes, soon(300ms));
                   if (trial.log().closed) {
                     EXPECT_EQ(end, Pop::ended);
                   }
                   bool const closed = trial.queue().closed();
                   EXPECT_EQ(end, closed ? Pop::ended : Pop::nothing);
                   EXPECT_EQ(trial.queue().push(item_of(0, 16), ByteQueue::at_once),
                             closed ? Push::closed : Push::done);
                 }});
  all.push_back({"give memory back",
                 {16, 8 << 20},
                 [](ByteQueue& queue) {
                   queue.push(item_of(0, 3'000'000));
                   procpool::detail::Bytes bytes;
                   queue.pop(bytes);
                 },
                 [](Trial& trial) { trial.pop(ByteQueue::at_once); },
                 nullptr,
                 [](Trial& trial) {
                   push_all(trial.queue(), 0, 3, 2'000'000);
                   expect_in_order(trial.take_rest(), 0, 3, 3);
                 }});
  return all;
}

// Calls `trial` with 1, 2, ... until it says that there is no such point.
void at_each_point(std::function<bool(unsigned)> const& trial) {
  constexpr unsigned most = 1000;
  for (unsigned point = 1; point < most; ++point) {
    if (!trial(point) || testing::Test::HasFailure()) return;
  }
  ADD_FAILURE() << "it never ends";
}

std::shared_ptr<ByteQueue> make_ready(Scenario const& scenario) {
  auto const& shape = scenario.shape;
  auto queue = ByteQueue::create({1, shape.items, shape.bytes, shape.redeliver, shape.tray});
  scenario.prepare(*queue);
  queue->done();
  return queue;
}

using Tally = std::map<SyncPoint, unsigned>;

void expect_every_point(Tally const& at) {
  for (auto const& [point, name] : names) {
    auto const found = at.find(point);
    unsigned const count = found == at.end() ? 0 : found->second;
    std::printf("  %-22s %5u\n", name, count);
    // Only behind another death.
    if (point != SyncPoint::queue_settled) {
      EXPECT_NE(count, 0u) << "nothing fell on " << name;
    }
  }
}

TEST(QueueSteps, ADeathAtEachLosesNothing) {
  Tally deaths;
  for (Scenario const& scenario : scenarios()) {
    at_each_point([&](unsigned point) {
      auto const queue = make_ready(scenario);
      Trial trial(queue, scenario.victim, point, Trial::End::dies);
      if (scenario.meanwhile) scenario.meanwhile(trial);
      bool const died = trial.wait();
      SCOPED_TRACE(std::string(scenario.name) + ", dead at point " + std::to_string(point) + ", " +
                   name_of(trial.point()));
      scenario.check(trial);
      if (died) ++deaths[trial.point()];
      return died;
    });
    ASSERT_FALSE(HasFailure()) << scenario.name;
  }
  expect_every_point(deaths);
}

// Two deaths: a second process comes upon what the first has left, and dies there.
TEST(QueueSteps, ADeathWhileAnotherIsMadeGoodLosesNothing) {
  bool settled = false;
  for (bool const again : {false, true}) {
    at_each_point([&](unsigned first) {
      bool first_died = false;
      at_each_point([&](unsigned second) {
        auto const queue = ByteQueue::create({1, 16, 1 << 20, again ? 5u : 0u, 0});
        push_all(*queue, 0, 3);
        auto const victim = [](Trial& trial) {
          trial.pop();
          trial.done();
        };
        Trial one(queue, victim, first, Trial::End::dies);
        first_died = one.wait();
        Trial two(queue, victim, second, Trial::End::dies);
        bool const died = two.wait();
        settled = settled || two.point() == SyncPoint::queue_settled;
        SCOPED_TRACE("dead at point " + std::to_string(first) + ", " + name_of(one.point()) +
                     ", and " + std::to_string(second) + ", " + name_of(two.point()));
        std::map<int, int> times;
        for (int const number : one.victims()) ++times[number];
        for (int const number : two.victims()) ++times[number];
        for (int const number : two.take_rest()) ++times[number];
        int missing = 0;
        for (int i = 0; i < 3; ++i) {
          missing += times[i] == 0 ? 1 : 0;
          EXPECT_LE(times[i], again ? 3 : 1) << i;
        }
        auto const lost = static_cast<int>(queue->lost());
        EXPECT_LE(lost, again ? 0 : 2);
        EXPECT_LE(missing, lost);
        return first_died && died;
      });
      return first_died;
    });
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_TRUE(settled) << "nothing fell on queue_settled";
}

// Others go on, or their time runs out: a stopped process holds up whoever needs its lock.
TEST(QueueSteps, StoppedAtEachItHoldsUpNobodyForEver) {
  Tally stops;
  for (Scenario const& scenario : scenarios()) {
    at_each_point([&](unsigned point) {
      auto const queue = make_ready(scenario);
      Trial trial(queue, scenario.victim, point, Trial::End::stops);
      if (scenario.meanwhile) scenario.meanwhile(trial);
      bool const stopped = trial.wait();
      SCOPED_TRACE(std::string(scenario.name) + ", stopped at point " + std::to_string(point) +
                   ", " + name_of(trial.point()));
      if (stopped) {
        ++stops[trial.point()];
        support::Stopwatch const time;
        static_cast<void>(queue->size());
        static_cast<void>(queue->lost());
        EXPECT_LT(time.passed(), 2s);
        trial.go_on(scenario.meanwhile);
      }
      scenario.check(trial);
      return stopped;
    });
    ASSERT_FALSE(HasFailure()) << scenario.name;
  }
  expect_every_point(stops);
}

}  // namespace
