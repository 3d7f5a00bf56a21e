// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The lock between processes: who holds it, and what becomes of it if its holder does not give it
// back. tests/steps/process_lock_test.cpp has deaths and stops at each step.
#include "os/process_lock.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <functional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "os/mapping.hpp"
#include "os/process.hpp"
#include "support/processes.hpp"
#include "support/until.hpp"

namespace {

namespace os = procpool::os;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Word = std::atomic<std::uint32_t>;

constexpr std::uint32_t waiters = 1U << 31;

// A child that runs `body` and is killed at the end at the latest.
class Child {
 public:
  template <class Body>
  explicit Child(Body body) : pid_(::fork()) {
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::alarm(30);
    try {
      body();
    } catch (std::exception const& error) {
      std::fprintf(stderr, "%s\n", error.what());
      ::_exit(99);
    }
    ::_exit(0);
  }
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
  Child(Child const&) = delete;
  ~Child() {
    if (pid_ > 0) end();
  }

  pid_t pid() const { return pid_; }
  void kill() const { ::kill(pid_, SIGKILL); }
  // Kills it and reaps it, so that its number is nobody's.
  void end() {
    kill();
    wait();
  }
  // Its exit status; -1: a signal has ended it.
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, 0), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_;
};

struct Shared {
  Word word;
  Word other_word;
  Word step;  // what a child has come to, and what it waits for
  std::uint64_t first;
  std::uint64_t second;
};

class OsProcessLock : public testing::Test {
 protected:
  // A child that takes the lock, and gives it back when `step` is 2.
  Child holder(std::function<void()> const& prepare = [] {}) {
    Child child([&] {
      prepare();
      lock.lock();
      shared.step = 1;
      support::until([&] { return shared.step == 2; }, 30s);
      lock.unlock();
    });
    EXPECT_TRUE(support::until([&] { return shared.step == 1; }));
    return child;
  }

  os::Memfd file = os::Memfd::create("procpool-test", 4096);
  os::Mapping mapping{file, os::Access::read_write, os::Visibility::children_and_dumps};
  Shared& shared = *reinterpret_cast<Shared*>(mapping.data());
  os::ProcessLock lock{shared.word, file.identity()};
};

TEST_F(OsProcessLock, IsHeldByOneThread) {
  EXPECT_EQ(lock.holder(), 0U);
  EXPECT_EQ(lock.lock(), os::LockResult::taken);
  EXPECT_EQ(lock.holder(), os::this_thread_id().number);
  std::thread([&] {
    EXPECT_FALSE(lock.try_lock());
    EXPECT_EQ(lock.lock(Clock::now() + 20ms), os::LockResult::timed_out);
    lock.unlock();  // not by the holder
  }).join();
  EXPECT_EQ(lock.holder(), os::this_thread_id().number);
  lock.unlock();
  EXPECT_EQ(lock.holder(), 0U);
  std::thread([&] {
    EXPECT_TRUE(lock.try_lock());
    lock.unlock();
  }).join();
}

TEST_F(OsProcessLock, RefusesTheThreadThatHoldsIt) {
  lock.lock();
  auto const twice = [&](auto const& again) {
    try {
      again();
      ADD_FAILURE() << "nothing was thrown";
    } catch (std::system_error const& error) {
      EXPECT_EQ(error.code(), std::errc::resource_deadlock_would_occur);
    }
  };
  twice([&] { lock.lock(); });
  twice([&] { lock.lock(Clock::now()); });
  twice([&] { lock.try_lock(); });
  lock.unlock();
  EXPECT_EQ(lock.holder(), 0U);
}

TEST_F(OsProcessLock, WaitsForALivingHolder) {
  Child child = holder();
  auto const begin = Clock::now();
  EXPECT_EQ(lock.lock(begin + 60ms), os::LockResult::timed_out);
  EXPECT_GE(Clock::now() - begin, 60ms);
  EXPECT_EQ(lock.lock(begin), os::LockResult::timed_out) << "a deadline that has passed";
  EXPECT_EQ(shared.word, waiters | static_cast<std::uint32_t>(child.pid()));
  std::thread waiter([&] {
    EXPECT_EQ(lock.lock(), os::LockResult::taken);
    lock.unlock();
  });
  shared.step = 2;
  waiter.join();
  EXPECT_EQ(child.wait(), 0);
}

// The second waiter would be told by nobody.
TEST_F(OsProcessLock, TellsThatOthersMayWaitWhenAWaiterHasTakenIt) {
  Child child = holder();
  std::thread waiter([&] {
    lock.lock();
    EXPECT_EQ(shared.word, os::this_thread_id().number | waiters);
    lock.unlock();
  });
  ASSERT_TRUE(support::until([&] { return (shared.word & waiters) != 0; }));
  shared.step = 2;
  waiter.join();
}

TEST_F(OsProcessLock, OfAHolderThatWasKilledIsTakenOver) {
  Child child = holder();
  child.end();
  EXPECT_EQ(lock.lock(Clock::now() + 20s), os::LockResult::holder_died);
  EXPECT_EQ(lock.holder(), os::this_thread_id().number);
  lock.unlock();
  EXPECT_EQ(lock.lock(), os::LockResult::taken) << "once only";
  lock.unlock();
}

TEST_F(OsProcessLock, OfAHolderThatIsKilledIsTakenOverByAWaiter) {
  Child child = holder();
  std::thread waiter([&] {
    EXPECT_EQ(lock.lock(Clock::now() + 20s), os::LockResult::holder_died);
    lock.unlock();
  });
  ASSERT_TRUE(support::until([&] { return (shared.word & waiters) != 0; }));
  child.kill();
  waiter.join();
}

TEST_F(OsProcessLock, OfAHolderThatWasNotReapedIsTakenOver) {
  Child child = holder();
  child.kill();
  ASSERT_TRUE(support::until([&] { return support::stat_of(child.pid()).state == 'Z'; }));
  EXPECT_EQ(lock.lock(Clock::now() + 20s), os::LockResult::holder_died);
  lock.unlock();
}

TEST_F(OsProcessLock, OfAThreadThatHasEndedIsTakenOver) {
  std::thread([&] { lock.lock(); }).join();
  EXPECT_EQ(lock.lock(Clock::now() + 20s), os::LockResult::holder_died);
  lock.unlock();
}

// The first thread of a process that goes on.
TEST_F(OsProcessLock, OfAMainThreadThatHasEndedIsTakenOver) {
  Child child([&] {
    std::thread([&] {
      support::until([&] { return shared.step == 2; }, 30s);
      ::_exit(0);
    }).detach();
    lock.lock();
    shared.step = 1;
    ::syscall(SYS_exit, 0);  // of the thread
  });
  ASSERT_TRUE(support::until([&] { return shared.step == 1; }));
  EXPECT_EQ(lock.lock(Clock::now() + 20s), os::LockResult::holder_died);
  lock.unlock();
  shared.step = 2;
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(OsProcessLock, OfAStoppedHolderIsNotTakenOver) {
  Child child = holder();
  ::kill(child.pid(), SIGSTOP);
  ASSERT_TRUE(support::until([&] { return os::thread_state(child.pid()) == 'T'; }));
  EXPECT_EQ(lock.lock(Clock::now() + 100ms), os::LockResult::timed_out);
  shared.step = 2;
  ::kill(child.pid(), SIGCONT);
  EXPECT_EQ(lock.lock(Clock::now() + 20s), os::LockResult::taken);
  lock.unlock();
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(OsProcessLock, OfAStoppedHolderThatIsKilledIsTakenOver) {
  Child child = holder();
  ::kill(child.pid(), SIGSTOP);
  child.end();
  EXPECT_EQ(lock.lock(Clock::now() + 20s), os::LockResult::holder_died);
  lock.unlock();
}

// The holder is dead, and its number was given to a process that has nothing to do with the file.
TEST_F(OsProcessLock, OfANumberThatAnotherProcessGotIsTakenOver) {
  Child const stranger([&] {
    ::munmap(mapping.data(), 4096);
    for (;;) ::pause();
  });
  ASSERT_TRUE(support::until([&] { return !support::maps(stranger.pid(), "procpool-test"); }));
  shared.word = static_cast<std::uint32_t>(stranger.pid());
  EXPECT_EQ(lock.lock(Clock::now() + 20s), os::LockResult::holder_died);
  lock.unlock();
}

// The same of a process that maps another memory file.
TEST_F(OsProcessLock, LooksForItsOwnFile) {
  os::Memfd const other = os::Memfd::create("procpool-test", 4096);
  ASSERT_NE(other.identity(), file.identity());
  Child const stranger([&] {
    os::Mapping const others(other, os::Access::read_write);
    ::munmap(mapping.data(), 4096);
    reinterpret_cast<Shared*>(others.data())->step = 1;
    for (;;) ::pause();
  });
  os::Mapping const seen(other, os::Access::read_write);
  ASSERT_TRUE(support::until([&] { return reinterpret_cast<Shared*>(seen.data())->step == 1; }));
  shared.word = static_cast<std::uint32_t>(stranger.pid());
  EXPECT_EQ(lock.lock(Clock::now() + 20s), os::LockResult::holder_died);
  lock.unlock();
}

// A process that runs another program has the number that it had, and no memory of before.
TEST_F(OsProcessLock, OfAHolderThatRunsAnotherProgramIsTakenOver) {
  Child const child([&] {
    lock.lock();
    shared.step = 1;
    ::execl("/bin/sleep", "sleep", "30", nullptr);
  });
  ASSERT_TRUE(support::until([&] { return shared.step == 1; }));
  EXPECT_EQ(lock.lock(Clock::now() + 20s), os::LockResult::holder_died);
  lock.unlock();
}

TEST_F(OsProcessLock, OfJunkIsTakenOver) {
  for (std::uint32_t const junk : {waiters, ~0U, ~waiters, 0x7ffffffeU, 0x00ffffffU | waiters}) {
    shared.word = junk;
    EXPECT_EQ(lock.lock(Clock::now() + 20s), os::LockResult::holder_died) << junk;
    EXPECT_EQ(lock.holder(), os::this_thread_id().number);
    lock.unlock();
    EXPECT_EQ(lock.lock(Clock::now() + 20s), os::LockResult::taken) << junk;
    lock.unlock();
  }
}

// An earlier thread with this number died, or the number is junk. No look would tell.
TEST_F(OsProcessLock, OfItsOwnNumberIsTakenOver) {
  for (std::uint32_t const bit : {0U, waiters}) {
    shared.word = os::this_thread_id().number | bit;
    EXPECT_EQ(lock.lock(Clock::now() + 20s), os::LockResult::holder_died);
    lock.unlock();
    EXPECT_EQ(lock.holder(), 0U);
  }
}

TEST_F(OsProcessLock, DoesNotReleaseWhatAnotherHasTaken) {
  lock.lock();
  shared.word = 12345;  // a faulty process
  lock.unlock();
  EXPECT_EQ(shared.word, 12345U);
  EXPECT_EQ(lock.lock(Clock::now() + 20s), os::LockResult::holder_died);
  lock.unlock();
}

TEST_F(OsProcessLock, WithADeadlineInThePastFindsADeadHolder) {
  holder().end();
  EXPECT_FALSE(lock.try_lock());
  EXPECT_EQ(lock.lock(Clock::time_point::min()), os::LockResult::holder_died);
  lock.unlock();
}

TEST_F(OsProcessLock, StaysWithTheParentThatForks) {
  lock.lock();
  Child child([&] {
    lock.unlock();  // of the child nothing
    if (lock.holder() != static_cast<std::uint32_t>(::getppid())) ::_exit(1);
    if (lock.lock(Clock::now() + 50ms) != os::LockResult::timed_out) ::_exit(2);
    shared.step = 1;
    if (lock.lock(Clock::now() + 20s) != os::LockResult::taken) ::_exit(3);
    if (lock.holder() != static_cast<std::uint32_t>(::getpid())) ::_exit(4);
    lock.unlock();
  });
  EXPECT_TRUE(support::until([&] { return shared.step == 1; }));
  lock.unlock();
  EXPECT_EQ(child.wait(), 0);
}

// ---- where the look sees less

void become_nobody() {
  if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) ::_exit(98);
}

// Runs `wait` as a user who may not look into `held`, a holder that guards its memory.
class OsProcessLockUnseen : public OsProcessLock {
 protected:
  Child guarded() {
    return holder([] {
      become_nobody();
      ::prctl(PR_SET_DUMPABLE, 0);
    });
  }
  int outcome_for_nobody(Clock::duration wait) {
    Child child([&] {
      become_nobody();
      int const maps = ::open(("/proc/" + std::to_string(lock.holder()) + "/maps").c_str(),
                              O_RDONLY | O_CLOEXEC);
      char one = 0;
      if (maps >= 0 && ::read(maps, &one, 1) == 1) ::_exit(97);
      ::_exit(static_cast<int>(lock.lock(Clock::now() + wait)));
    });
    return child.wait();
  }
};

TEST_F(OsProcessLockUnseen, AHolderLivesInDoubt) {
  Child const child = guarded();
  EXPECT_EQ(outcome_for_nobody(100ms), static_cast<int>(os::LockResult::timed_out));
}

TEST_F(OsProcessLockUnseen, AHolderThatIsGoneIsDead) {
  guarded().end();
  EXPECT_EQ(outcome_for_nobody(20s), static_cast<int>(os::LockResult::holder_died));
}

TEST_F(OsProcessLockUnseen, AHolderThatWasNotReapedIsDead) {
  Child const child = guarded();
  child.kill();
  ASSERT_TRUE(support::until([&] { return support::stat_of(child.pid()).state == 'Z'; }));
  EXPECT_EQ(outcome_for_nobody(20s), static_cast<int>(os::LockResult::holder_died));
}

// A process without descriptors cannot look.
TEST_F(OsProcessLock, WithoutDescriptorsKnowsAHolderByItsNumber) {
  auto const outcome = [&](Clock::duration wait) {
    Child child([&] {
      rlimit const none{0, 0};
      ::setrlimit(RLIMIT_NOFILE, &none);
      ::_exit(static_cast<int>(lock.lock(Clock::now() + wait)));
    });
    return child.wait();
  };
  Child child = holder();
  EXPECT_EQ(outcome(100ms), static_cast<int>(os::LockResult::timed_out));
  child.end();
  EXPECT_EQ(outcome(20s), static_cast<int>(os::LockResult::holder_died));
}

// The line of the file comes late, and behind lines that are longer than what is read at once.
TEST_F(OsProcessLock, ReadsLongLists) {
  std::string folder = std::filesystem::temp_directory_path() / "procpool-lock-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  Child const child = holder([&] {
    if (::chdir(folder.c_str()) != 0) ::_exit(1);
    for (int depth = 0; depth < 12; ++depth) {
      std::string const name(250, '\n');  // each is four characters in the list
      if (::mkdir(name.c_str(), 0700) != 0 || ::chdir(name.c_str()) != 0) ::_exit(2);
    }
    int const deep = ::open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (deep < 0 || ::ftruncate(deep, 4096) != 0) ::_exit(3);
    // Mappings are laid below each other, so these come ahead in the list.
    for (int i = 0; i < 2000; ++i) {
      bool const long_line = i % 100 == 0;
      if (::mmap(nullptr, 4096, i % 2 == 0 ? PROT_READ : PROT_NONE,
                 MAP_PRIVATE | (long_line ? 0 : MAP_ANONYMOUS), long_line ? deep : -1,
                 0) == MAP_FAILED) {
        ::_exit(4);
      }
    }
  });
  ASSERT_GT(support::mappings_of(child.pid()).size(), 1000U);
  EXPECT_EQ(lock.lock(Clock::now() + 100ms), os::LockResult::timed_out);
  std::filesystem::remove_all(folder);
}

// ---- many

// Two numbers that are the same whenever nobody is inside.
void step_once(Shared& shared, os::ProcessLock& lock) {
  if (lock.lock() == os::LockResult::holder_died) shared.second = shared.first;
  ++shared.first;
  ++shared.second;
  lock.unlock();
}

TEST_F(OsProcessLock, LetsOneAtATimeIn) {
  constexpr int processes = 8;
  constexpr int steps = 5000;
  std::vector<Child> children;
  for (int i = 0; i < processes; ++i) {
    children.emplace_back([&] {
      std::thread other([&] {
        for (int step = 0; step < steps; ++step) step_once(shared, lock);
      });
      for (int step = 0; step < steps; ++step) step_once(shared, lock);
      other.join();
    });
  }
  for (Child& child : children) EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(shared.first, std::uint64_t{2} * processes * steps);
  EXPECT_EQ(shared.second, shared.first);
}

// Whoever is killed, at any point: the others go on.
TEST_F(OsProcessLock, OutlivesKillsAtRandom) {
  auto const forever = [&] {
    for (;;) step_once(shared, lock);
  };
  std::deque<Child> children;
  for (int i = 0; i < 4; ++i) children.emplace_back(forever);
  auto const seen = [&] { return std::atomic_ref(shared.first).load(std::memory_order_relaxed); };
  for (int kills = 0; kills < 200; ++kills) {
    std::uint64_t const before = seen();
    ASSERT_TRUE(support::until([&] { return seen() != before; })) << "after " << kills << " kills";
    children.pop_front();
    children.emplace_back(forever);
  }
  children.clear();
  ASSERT_NE(lock.lock(Clock::now() + 20s), os::LockResult::timed_out);
  EXPECT_LE(shared.first - shared.second, 1U);
  lock.unlock();
}

}  // namespace
