// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The parent dies at each sync point of the channel's protocol, whatever its worker does at that time. The
// worker ends too, and nothing of either is left. The parent is a real process with the real end of
// the channel; its worker has the real watchdog.

#include "support/observed.hpp"  // first

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "channel/parent_end.hpp"
#include "event_log.hpp"
#include "os/process.hpp"
#include "os/socket.hpp"
#include "scenario.hpp"
#include "support/one_by_one.hpp"
#include "support/processes.hpp"
#include "worker/parent_watchdog.hpp"

namespace procpool::steps {
namespace {

// The behaviour of the worker in its first element.
enum class Does : std::uint8_t { answers, never_ends, stops_itself };

struct Family {
  char const* name;
  Does does = Does::answers;
  bool is_parent = true;  // the worker is the parent's child, and not the fork server's
};

constexpr std::array families = {
    Family{"a worker that answers"}, Family{"a worker that never ends", Does::never_ends},
    Family{"a worker that is stopped", Does::stops_itself},
    Family{"a forked worker", Does::answers, false},
    Family{"a forked worker that never ends", Does::never_ends, false}};

void work(channel::OneByOne& end, EventLog& event_log, Does does) {
  while (end.wait()) {
    channel::InboxHeader const chunk = end.header();
    bool revoked = false;
    for (std::uint64_t i = 0; i < chunk.count && !revoked; ++i) {
      revoked = !end.begin(chunk.serial + i);
      if (revoked) break;
      ++event_log.begun.at(chunk.serial + i);
      if (does == Does::stops_itself) ::raise(SIGSTOP);
      while (does != Does::answers) ::pause();
      end.append_value(chunk.serial + i, {}, false);
    }
    end.finish_frame();
  }
}

// The parent's process: one worker, and every call that advances the protocol.
class Parent {
 public:
  Parent(EventLog& event_log, Family const& family) : event_log_(event_log), family_(family) {
    auto [ours, theirs] = os::socket_pair();
    control_ = std::move(ours);
    os::UniqueFd const self = os::open_pidfd(::getpid());
    worker::Parent const me{::getpid(), os::start_time(::getpid()), family.is_parent};
    outbox_.emplace(end_.outbox(), channel::outbox_control_bytes, ring_bytes,
                    os::Access::read_only);
    pid_t const worker = ::fork();
    if (worker < 0) ::_exit(2);
    if (worker != 0) {
      event_log.worker = worker;
      return;
    }
    ::setpgid(0, 0);
    control_.reset();
    worker::watch_parent(me, self.get(), theirs.get(), -1, -1);
    {
      channel::OneByOne end(end_.inbox(), end_.outbox(), ring_bytes, os::Event(event_.duplicate()),
                            std::move(theirs));
      work(end, event_log, family.does);
    }
    for (;;) ::pause();  // asked to leave: the end of the parent has to end it
  }

  void live(os::Event const& about_to_stop) {
    while (words().parked.load() == 0) {  // it sleeps, and will be notified
    }
    // There is no promise for a worker that is stopped after the death of its parent and before its
    // watchdog has seen that.
    if (family_.does == Does::stops_itself) {
      put(1);
      while (support::stat_of(event_log_.worker).state != 'T') {
      }
    }
    Logger::arm(event_log_, about_to_stop);
    end_.let_spin(std::chrono::microseconds(1));
    put(3);
    if (family_.does == Does::answers) {
      answers(3);
      put(2);
      put(3);
      std::uint64_t const cut = end_.revoke(7);
      while (!end_.acknowledged()) {
      }
      while (auto const arrival = end_.next()) {
        if (arrival->header.serial + arrival->header.count > cut) ::_exit(3);
      }
      end_.taken();
      put(1);
      answers(1);
    } else {
      while (event_log_.begun[0] == 0) {
      }
      end_.park(1);
      end_.unpark();
      end_.taken();
      end_.revoke(1);
    }
    end_.ask_to_stop(0);
    end_.ask_to_leave();
    Logger::disarm();
  }

 private:
  channel::OutboxWords const& words() const {
    return *reinterpret_cast<channel::OutboxWords const*>(outbox_->control());
  }
  void put(std::uint64_t count) {
    end_.put_chunk({0, 1, 0, count}, {});
    end_.publish();
  }
  // Waits for this many answers.
  void answers(std::uint64_t count) {
    while (count != 0) {
      end_.park(++sleeps_);
      if (!end_.news()) {
        pollfd rung{event_.fd(), POLLIN, 0};
        ::poll(&rung, 1, -1);
      }
      end_.unpark();
      event_.drain();
      while (auto const arrival = end_.next()) count -= arrival->header.count;
      end_.taken();
    }
  }

  EventLog& event_log_;
  Family const family_;
  channel::ParentEnd end_{ring_bytes};
  os::Event event_;
  os::UniqueFd control_;
  std::optional<os::RingMapping> outbox_;
  std::uint32_t sleeps_ = 0;
};

struct End {
  bool killed = false;
  bool stopped = false;
  unsigned last = 0;
};

constexpr int hard_limit_ms = 20'000;

// Continues a stopped parent once its worker sleeps or is gone.
bool let_worker_go_first(pid_t parent, EventLog const& event_log, os::Event const& about_to_stop,
                         int gone) {
  std::array<pollfd, 2> watched{{{about_to_stop.fd(), POLLIN, 0}, {gone, 0, 0}}};
  ::poll(watched.data(), watched.size(), hard_limit_ms);
  if (about_to_stop.drain() == 0) return false;
  int status = 0;
  EXPECT_EQ(::waitpid(parent, &status, WUNTRACED), parent);
  if (!WIFSTOPPED(status)) return false;
  pid_t const worker = event_log.worker;
  while (support::alive(worker) && !support::asleep(worker)) {
  }
  ::kill(parent, SIGCONT);
  return true;
}

// A parent that dies, or stops, at this moment, or else ends as usual. Fails if anything of it is left.
End live_and_die(Family const& family, Moment die, Moment stop = {}) {
  Moment const moment = stop.time != 0 ? stop : die;
  std::unique_ptr<EventLog, void (*)(EventLog*)> const event_log(
      EventLog::make(), [](EventLog* gone) { ::munmap(gone, sizeof(EventLog)); });
  event_log->die = die;
  event_log->stop = stop;
  os::Event const about_to_stop;
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) throw std::runtime_error("no pipe to be had");
  os::UniqueFd const ours(ends[0]);
  os::UniqueFd theirs(ends[1]);  // a process that has it open is alive
  pid_t const parent = ::fork();
  if (parent == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // if the test is ended
    Parent(*event_log, family).live(about_to_stop);
    ::_exit(0);
  }
  theirs.reset();
  End end;
  if (stop.time != 0)
    end.stopped = let_worker_go_first(parent, *event_log, about_to_stop, ours.get());
  pollfd gone{ours.get(), 0, 0};
  bool const all_gone = ::poll(&gone, 1, hard_limit_ms) == 1;
  EXPECT_TRUE(all_gone) << family.name << ": a process is blocked, or left, at "
                        << name_of(moment.point) << " number " << moment.time;
  end.last = event_log->last;
  int status = 0;
  if (!all_gone) ::kill(parent, SIGKILL);
  EXPECT_EQ(::waitpid(parent, &status, 0), parent);
  end.killed = WIFSIGNALED(status);
  EXPECT_TRUE(end.killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) << status;
  // This process reaps the orphan, which is its only other child.
  while (all_gone && ::waitpid(-1, &status, 0) > 0) {
  }
  return end;
}

void tell(char const* what, Tally const& at) {
  std::printf("%s: %u in all\n", what, at.sum());
  for (unsigned point = point_of(sync_points::first_of_parent); point < sync_points::point_count;
       ++point) {
    std::printf("  %-18s %6u\n", name_of(point), at.at(point));
    EXPECT_GT(at.at(point), 0u) << what << " never fell on: " << name_of(point);
  }
}

TEST(ParentSteps, ADeathAtEachTakesTheWorkerAlong) {
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  Tally deaths;
  for (Family const& family : families) {
    for (unsigned point = point_of(sync_points::first_of_parent); point < sync_points::point_count;
         ++point) {
      for (unsigned time = 1;; ++time) {
        End const end = live_and_die(family, {point, time});
        ASSERT_FALSE(HasFailure());
        if (!end.killed) break;
        deaths.add(end.last);
      }
    }
  }
  tell("deaths of the parent", deaths);
}

TEST(ParentSteps, AParentThatIsSlowAtEachLeavesNoWorkerAsleep) {
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  Tally stops;
  for (Family const& family : families) {
    if (family.does == Does::stops_itself) continue;
    for (unsigned point = point_of(sync_points::first_of_parent); point < sync_points::point_count;
         ++point) {
      for (unsigned time = 1;; ++time) {
        End const end = live_and_die(family, {}, {point, time});
        ASSERT_FALSE(HasFailure());
        if (!end.stopped) break;
        stops.add(point);
      }
    }
  }
  tell("stops of the parent", stops);
}

// ---- a worker that is faster: it acts at a sync point of the parent, on the same thread

class Interruption {
 public:
  Interruption(SyncPoint where, std::function<void()> what) {
    sync_points::observer = [where, what = std::move(what)](SyncPoint point) {
      if (point == where) what();
    };
  }
  ~Interruption() { sync_points::observer = nullptr; }
  Interruption(Interruption const&) = delete;
  Interruption& operator=(Interruption const&) = delete;
};

TEST(ParentSteps, AWorkerMayBeginWhatItIsToldOfAtOnce) {
  channel::ParentEnd parent(ring_bytes);
  auto [ours, theirs] = os::socket_pair();
  channel::OneByOne worker(parent.inbox(), parent.outbox(), ring_bytes, os::Event(),
                           std::move(theirs));
  unsigned ran = 0;
  Interruption const interruption(SyncPoint::told, [&] {
    ASSERT_TRUE(worker.has_frame());
    ASSERT_TRUE(worker.wait());
    ASSERT_TRUE(worker.begin(worker.header().serial)) << "the limit came behind the record";
    worker.append_value(worker.header().serial, {}, false);
    worker.finish_frame();
    ++ran;
  });
  for (unsigned i = 1; i <= 3; ++i) {
    parent.put_chunk({0, 1, 0, 1}, {});
    parent.publish();
    EXPECT_EQ(ran, i);
    EXPECT_TRUE(parent.next());
    parent.taken();
  }
}

TEST(ParentSteps, AWorkerThatFindsNoRoomIsWokenWhenThereIsSome) {
  channel::ParentEnd parent(ring_bytes);
  os::RingMapping const outbox(parent.outbox(), channel::outbox_control_bytes, ring_bytes,
                               os::Access::read_only);
  auto const& words = *reinterpret_cast<channel::OutboxWords const*>(outbox.control());
  auto [ours, theirs] = os::socket_pair();
  channel::OneByOne worker(parent.inbox(), parent.outbox(), ring_bytes, os::Event(),
                           std::move(theirs));
  std::vector<std::byte> const result(nearly_large);
  auto const run = [&](std::uint64_t elements) {
    ASSERT_TRUE(worker.wait());
    for (std::uint64_t i = 0; i < elements; ++i) {
      ASSERT_TRUE(worker.begin(worker.header().serial + i));
      worker.append_value(worker.header().serial + i, result, false);
    }
    worker.finish_frame();
  };
  parent.put_chunk({0, 1, 0, 4}, {});
  parent.put_chunk({0, 1, 0, 1}, {});
  parent.publish();
  run(4);  // and there is no room for a fifth
  while (parent.next()) {
  }
  std::atomic<bool> over{false};
  std::thread late;
  Interruption const interruption(SyncPoint::taken, [&] {
    late = std::thread([&] {
      run(1);
      over = true;
    });
    while (!over && (words.parked.load() & channel::for_room) == 0) {
    }
  });
  parent.taken();
  late.join();
  EXPECT_TRUE(parent.next());
}

}  // namespace
}  // namespace procpool::steps
