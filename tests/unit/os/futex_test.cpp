// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Sleeping on a word.
#include "os/futex.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pthread.h>
#include <csignal>
#include <new>
#include <thread>

#include "os/mapping.hpp"

namespace {

namespace os = procpool::os;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Word = std::atomic<std::uint32_t>;

// Wakes again and again until `stop`: no test here may depend on who is faster.
template <class Stop>
void keep_waking(Word const& word, os::FutexScope scope, Stop stop) {
  while (!stop()) {
    os::futex_wake(word, 1, scope);
    std::this_thread::sleep_for(1ms);
  }
}

TEST(OsFutex, ReturnsAtOnceWhenTheWordDiffers) {
  Word word{5};
  EXPECT_EQ(os::futex_wait(word, 4, os::FutexScope::process_private), os::FutexResult::changed);
  EXPECT_EQ(os::futex_wait(word, 4, os::FutexScope::shared), os::FutexResult::changed);
}

TEST(OsFutex, KeepsItsDeadline) {
  Word word{1};
  auto const begin = Clock::now();
  EXPECT_EQ(os::futex_wait(word, 1, os::FutexScope::process_private, begin + 30ms),
            os::FutexResult::timed_out);
  EXPECT_GE(Clock::now() - begin, 30ms);
  EXPECT_EQ(os::futex_wait(word, 1, os::FutexScope::shared, begin - 1h),
            os::FutexResult::timed_out);
  EXPECT_EQ(os::futex_wait(word, 1, os::FutexScope::shared, Clock::time_point::min()),
            os::FutexResult::timed_out);
  EXPECT_EQ(os::futex_wait(word, 0, os::FutexScope::shared, Clock::time_point::max()),
            os::FutexResult::changed);
}

TEST(OsFutex, WakesAnotherThread) {
  Word word{0};
  std::atomic<bool> done{false};
  os::FutexResult result{};
  std::thread sleeper([&] {
    do result = os::futex_wait(word, 0, os::FutexScope::process_private);
    while (result == os::FutexResult::interrupted);
    done = true;
  });
  keep_waking(word, os::FutexScope::process_private, [&] { return done.load(); });
  sleeper.join();
  EXPECT_EQ(result, os::FutexResult::woken);
  EXPECT_EQ(os::futex_wake(word, 1, os::FutexScope::process_private), 0) << "nobody sleeps";
}

TEST(OsFutex, WaitsThroughAReadOnlyViewOfAnotherProcessesWord) {
  os::Memfd memory = os::Memfd::create("procpool-test", 4096);
  os::Mapping const writer(memory, os::Access::read_write, os::Visibility::children_and_dumps);
  memory.seal(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE);
  auto* const word = ::new (writer.data()) Word{7};
  pid_t const child = ::fork();
  if (child == 0) {
    os::Mapping const reader(memory, os::Access::read_only);
    auto const& seen = *reinterpret_cast<Word const*>(reader.data());
    for (;;) {
      auto const result = os::futex_wait(seen, 7, os::FutexScope::shared, Clock::now() + 20s);
      if (seen.load() == 8) ::_exit(result == os::FutexResult::woken ? 0 : 2);
      if (result == os::FutexResult::timed_out) ::_exit(1);
    }
  }
  // The child sleeps for sure once a wake reports somebody.
  auto const end = Clock::now() + 20s;
  while (os::futex_wake(*word, 1, os::FutexScope::shared) == 0 && Clock::now() < end) {
    std::this_thread::sleep_for(1ms);
  }
  std::this_thread::sleep_for(20ms);  // back to sleep: `changed` instead of `woken` is the rare end
  word->store(8);
  os::futex_wake(*word, 1, os::FutexScope::shared);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_NE(WEXITSTATUS(status), 1) << "slept through the wake";
}

TEST(OsFutex, SignalsInterrupt) {
  struct sigaction action{};
  struct sigaction old{};
  action.sa_handler = [](int) {};  // without SA_RESTART
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &old), 0);
  Word word{0};
  std::atomic<bool> done{false};
  os::FutexResult result{};
  std::thread sleeper([&] {
    result = os::futex_wait(word, 0, os::FutexScope::process_private, Clock::now() + 20s);
    done = true;
  });
  while (!done) {
    ::pthread_kill(sleeper.native_handle(), SIGUSR1);
    std::this_thread::sleep_for(1ms);
  }
  sleeper.join();
  ::sigaction(SIGUSR1, &old, nullptr);
  EXPECT_EQ(result, os::FutexResult::interrupted);
}

TEST(OsFutex, BadMemoryIsAnErrorForTheSleeperOnly) {
  auto const& nowhere = *reinterpret_cast<Word const*>(std::uintptr_t{64});
  EXPECT_THROW(os::futex_wait(nowhere, 0, os::FutexScope::shared), std::exception);
  EXPECT_EQ(os::futex_wake(nowhere, 1, os::FutexScope::shared), 0);
}

}  // namespace
