// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The error of a crash tells of: the signal, the address, the calls that were running, the memory,
// the last lines of output. And that telling it changes nothing else: the worker ends as it would
// have without.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "channel/crash_words.hpp"
#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/fork_server.hpp"
#include "support/processes.hpp"
#include "support/until.hpp"

// Functions whose names are looked for: with a frame of their own, and no call of theirs is a jump.
#define NAMED __attribute__((noinline, noclone, no_sanitize("undefined", "address", "thread")))
#if defined(__clang__)
#undef NAMED
#define NAMED __attribute__((noinline, no_sanitize("undefined", "address", "thread")))
#endif

namespace {

using namespace std::chrono_literals;
using procpool::WorkerDied;

int volatile one = 1;

NAMED int crash_by_writing(std::uintptr_t address) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): on purpose
  *reinterpret_cast<int volatile*>(address) = 1;
  return one;
}
NAMED int caller_of_the_crash(std::uintptr_t address) { return crash_by_writing(address) + one; }

NAMED int crash_by_dividing(int by) { return one / by + one; }

NAMED int crash_by_an_instruction() {
  __builtin_trap();
  return one;
}

NAMED int crash_by_aborting() {
  std::abort();
  return one;
}

NAMED int crash_beyond_a_file() {
  int const fd = ::memfd_create("short", MFD_CLOEXEC);
  static_cast<void>(!::ftruncate(fd, 4096));
  auto* const view =
      static_cast<int volatile*>(::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  view[4096 / sizeof(int)] = 1;
  return one;
}

NAMED int crash_by_raising(int signal) {
  ::raise(signal);
  return one;
}

NAMED int crash_by_recursion(int volatile* above) {
  int volatile here[64];
  here[0] = above == nullptr ? 0 : *above + 1;
  if (here[0] < 0) return 0;  // never: for the compiler
  return crash_by_recursion(here) + here[0];
}

NAMED int crash_by_a_large_frame() {
  char volatile large[4 * 1024 * 1024];
  large[one] = 1;
  return large[one] + one;
}

NAMED int crash_by_calling(int (*nothing)()) { return nothing() + one; }

// Returns into what it has written over its own frame, and over all above it.
NAMED int crash_with_a_smashed_stack(std::size_t bytes) {
  std::array<char, 16> small;
  void* (*volatile const set)(void*, int, std::size_t) = std::memset;
  set(small.data(), 0x41, bytes);
  return one;
}

NAMED int crash_in_a_thread() {
  std::thread thread([] { caller_of_the_crash(0x18); });
  thread.join();
  return one;
}

// With `prepared` it has a stack for handlers, as the task's own thread has.
NAMED int overflow_in_a_thread(bool prepared) {
  std::thread thread([prepared] {
    std::vector<char> memory(64 * 1024);
    stack_t for_handlers{};
    for_handlers.ss_sp = memory.data();
    for_handlers.ss_size = memory.size();
    if (prepared) ::sigaltstack(&for_handlers, nullptr);
    crash_by_recursion(nullptr);
  });
  thread.join();
  return one;
}

NAMED int throws_in_a_thread() {
  std::thread thread([] { throw std::runtime_error("nobody catches this"); });
  thread.join();
  return one;
}

template <class Call>
WorkerDied death_in(procpool::ProcessPool& pool, Call call) {
  auto future = pool.submit(call);
  return support::thrown_by<WorkerDied>([&] { future.get(); });
}

template <class Call>
WorkerDied death_of(Call call) {
  procpool::ProcessPool pool{1};
  return death_in(pool, call);
}

// The position of the function in the stack; -1: it is not there.
int position_of(WorkerDied const& died, std::string const& function) {
  auto const& stack = died.stack();
  auto const found = std::ranges::find_if(
      stack, [&](auto const& frame) { return frame.function.find(function) != std::string::npos; });
  return found == stack.end() ? -1 : static_cast<int>(found - stack.begin());
}

std::string text_of_report(WorkerDied const& died) {
  return procpool::describe(std::make_exception_ptr(died));
}

// None of the calls that led to the task, each as people write it, in lines that can be read.
testing::AssertionResult is_of_the_task_alone(WorkerDied const& died) {
  for (auto const& frame : died.stack()) {
    for (char const* const ours : {"worker_main", "trampoline", "invoke_element", "call_element",
                                   "run_elements", "__invoke", "__libc_start", "_start"}) {
      if (frame.function.find(ours) != std::string::npos) {
        return testing::AssertionFailure() << frame.function << " in:\n" << text_of_report(died);
      }
    }
    if (frame.function.starts_with("_Z")) return testing::AssertionFailure() << frame.function;
    if (frame.text().size() > 190) return testing::AssertionFailure() << frame.text();
  }
  return testing::AssertionSuccess();
}

// Its name has thousands of characters.
template <class... Types>
NAMED int crash_in_a_fork_server(std::uintptr_t address) {
  return caller_of_the_crash(address) + one;
}
using LargeException =
    std::map<std::string, std::map<std::string, std::vector<std::map<std::string, std::string>>>>;

NAMED int crash_behind_invoke(std::uintptr_t address) {
  return std::invoke(caller_of_the_crash, address) + one;
}

}  // namespace

#define EXPECT_CRASHED_IN(died, function)                            \
  EXPECT_GE(position_of(died, function), 0) << text_of_report(died); \
  EXPECT_TRUE(support::says(died, function))

TEST(CrashReport, OfAnAccess) {
  auto const died = death_of([] { return caller_of_the_crash(0x18); });
  EXPECT_EQ(died.signal(), SIGSEGV);
  EXPECT_EQ(died.fault_address(), 0x18u);
  ASSERT_FALSE(died.stack().empty());
  EXPECT_EQ(position_of(died, "crash_by_writing(unsigned long)"), 0) << text_of_report(died);
  EXPECT_EQ(position_of(died, "caller_of_the_crash(unsigned long)"), 1) << text_of_report(died);
  EXPECT_TRUE(support::says(died, "SIGSEGV at address 0x18"));
  EXPECT_TRUE(support::says(died, "crash_by_writing"));
  EXPECT_EQ(std::string(died.what()).find('\n'), std::string::npos);
  EXPECT_NE(died.stack().front().module.find("pool_tests"), std::string::npos);
  EXPECT_NE(died.stack().front().text().find("pool_tests+0x"), std::string::npos);
  EXPECT_NE(text_of_report(died).find("\n  #1 "), std::string::npos) << text_of_report(died);
  EXPECT_TRUE(is_of_the_task_alone(died));
}

TEST(CrashReport, IsOfTheTaskAloneInLinesThatCanBeRead) {
  for (int (*const task)(std::uintptr_t) :
       {&caller_of_the_crash,
        &crash_in_a_fork_server<LargeException, LargeException, LargeException>,
        &crash_behind_invoke}) {
    for (auto const start : {procpool::Start::spawn, procpool::Start::forkserver}) {
      procpool::PoolOptions options;
      options.workers = 1;
      options.start.method = start;
      procpool::ProcessPool pool{options};
      auto future = pool.submit(task, 0x18);
      auto const died = support::thrown_by<WorkerDied>([&] { future.get(); });
      EXPECT_EQ(position_of(died, "crash_by_writing"), 0) << text_of_report(died);
      EXPECT_LE(died.stack().size(), 3u) << text_of_report(died);
      EXPECT_TRUE(is_of_the_task_alone(died));
    }
  }
}

TEST(CrashReport, OfEachSignal) {
  procpool::ProcessPool pool{1};
  struct Kind {
    int signal;
    std::string function;
    WorkerDied died;
  };
  std::vector<Kind> const kinds{
      {SIGFPE, "crash_by_dividing",
       death_in(pool,
                [] {
                  return support::sanitized ? crash_by_raising(SIGFPE) : crash_by_dividing(one - 1);
                })},
      {SIGILL, "crash_by_an_instruction", death_in(pool, [] { return crash_by_an_instruction(); })},
      {SIGABRT, "crash_by_aborting", death_in(pool, [] { return crash_by_aborting(); })},
      {SIGBUS, "crash_beyond_a_file", death_in(pool, [] { return crash_beyond_a_file(); })},
      {SIGSYS, "crash_by_raising", death_in(pool, [] { return crash_by_raising(SIGSYS); })},
      {SIGTRAP, "crash_by_raising", death_in(pool, [] { return crash_by_raising(SIGTRAP); })},
      {SIGSEGV, "crash_by_raising", death_in(pool, [] { return crash_by_raising(SIGSEGV); })},
  };
  for (Kind const& kind : kinds) {
    SCOPED_TRACE(text_of_report(kind.died));
#if defined(__aarch64__)
    if (kind.signal == SIGILL || kind.signal == SIGFPE) continue;  // other signals, or none, there
#endif
    EXPECT_EQ(kind.died.signal(), kind.signal);
    bool const replaced = support::sanitized && kind.signal == SIGFPE;
    EXPECT_CRASHED_IN(kind.died, replaced ? "crash_by_raising" : kind.function);
  }
  // A signal that was only sent has no address.
  EXPECT_FALSE(kinds.back().died.fault_address().has_value());
  EXPECT_EQ(pool.stats().worker_deaths, kinds.size());
}

TEST(CrashReport, OfAStackThatOverflowed) {
  auto const died = death_of([] { return crash_by_recursion(nullptr); });
  EXPECT_EQ(died.signal(), SIGSEGV);
  EXPECT_CRASHED_IN(died, "crash_by_recursion");
  EXPECT_TRUE(support::says(died, "stack overflowed"));
  EXPECT_EQ(died.stack().size(), 64u) << text_of_report(died);
}

TEST(CrashReport, OfAFrameThatIsLargerThanTheStack) {
  auto const died = death_of([] {
    rlimit const small{256 * 1024, RLIM_INFINITY};
    ::setrlimit(RLIMIT_STACK, &small);
    return crash_by_a_large_frame();
  });
  EXPECT_EQ(died.signal(), SIGSEGV);
  EXPECT_TRUE(support::says(died, "stack overflowed"));
  EXPECT_FALSE(died.stack().empty());
}

TEST(CrashReport, OfACallOfNothing) {
  auto const died = death_of([] {
    int (*volatile nothing)() = nullptr;
    return crash_by_calling(nothing);
  });
  EXPECT_EQ(died.signal(), SIGSEGV);
  EXPECT_EQ(died.fault_address(), 0u);
  EXPECT_CRASHED_IN(died, "crash_by_calling");
}

TEST(CrashReport, OfACallOfNonsense) {
  auto const died = death_of([] {
    auto* volatile nonsense = reinterpret_cast<int (*)()>(std::uintptr_t{0x12345});
    return crash_by_calling(nonsense);
  });
  EXPECT_EQ(died.signal(), SIGSEGV);
  EXPECT_EQ(died.fault_address(), 0x12345u);
  EXPECT_CRASHED_IN(died, "crash_by_calling");
}

TEST(CrashReport, OfASmashedStack) {
  if (support::sanitized) GTEST_SKIP() << "the sanitizer sees the write itself";
  procpool::ProcessPool pool{1};
  // From what is above its own frame to beyond the end of the stack.
  for (std::size_t const bytes : {64u, 4096u, 64u * 1024 * 1024}) {
    auto future =
        pool.submit([](std::size_t size) { return crash_with_a_smashed_stack(size); }, bytes);
    auto const died = support::thrown_by<WorkerDied>([&] { future.get(); });
    SCOPED_TRACE(text_of_report(died));
    // Of the return address that is none, or of the end of the stack, or of the guard that has seen
    // it.
    EXPECT_TRUE(died.signal() == SIGSEGV || died.signal() == SIGABRT || died.signal() == SIGBUS);
    EXPECT_FALSE(died.stack().empty());
    EXPECT_FALSE(support::says(died, "overflowed"));
  }
  EXPECT_EQ(pool.call([] { return 7; }), 7);
}

TEST(CrashReport, OfAThreadOfTheTask) {
  auto const died = death_of([] { return crash_in_a_thread(); });
  EXPECT_EQ(died.signal(), SIGSEGV);
  EXPECT_CRASHED_IN(died, "caller_of_the_crash");
  EXPECT_TRUE(support::says(died, "in a thread of its own"));
}

// There is nowhere for a handler to run, so the kernel ends the worker without one.
TEST(CrashReport, OfAThreadsOwnStackThatOverflowedIsNone) {
  if (support::sanitized) GTEST_SKIP() << "a sanitizer gives each thread a stack for handlers";
  auto const died = death_of([] { return overflow_in_a_thread(false); });
  EXPECT_EQ(died.signal(), SIGSEGV);
  EXPECT_TRUE(died.stack().empty()) << text_of_report(died);
  EXPECT_FALSE(died.fault_address().has_value());
}

TEST(CrashReport, OfAThreadWithAStackForHandlersThatOverflowed) {
  auto const died = death_of([] { return overflow_in_a_thread(true); });
  EXPECT_EQ(died.signal(), SIGSEGV);
  EXPECT_CRASHED_IN(died, "crash_by_recursion");
  EXPECT_TRUE(support::says(died, "in a thread of its own"));
  EXPECT_TRUE(support::says(died, "stack overflowed"));
}

TEST(CrashReport, OfAnExceptionThatNobodyCatches) {
  auto const died = death_of([] { return throws_in_a_thread(); });
  EXPECT_EQ(died.signal(), SIGABRT);
  EXPECT_GE(position_of(died, "throws_in_a_thread"), 0) << text_of_report(died);
  EXPECT_FALSE(died.fault_address().has_value());
}

TEST(CrashReport, OfManyThreadsAtOnce) {
  procpool::ProcessPool pool{1};
  for (int round = 0; round < support::rounds(20, 5); ++round) {
    auto const died = death_in(pool, [] {
      std::atomic<int> ready{0};
      std::vector<std::thread> threads;
      for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&ready] {
          ++ready;
          while (ready < 4) std::this_thread::yield();
          caller_of_the_crash(0x20);
        });
      }
      for (std::thread& thread : threads) thread.join();
      return 0;
    });
    EXPECT_EQ(died.signal(), SIGSEGV);
    EXPECT_CRASHED_IN(died, "caller_of_the_crash");
  }
}

TEST(CrashReport, OfAForkedWorker) {
  procpool::ProcessPool pool{support::forkserver(1)};
  auto const died = death_in(pool, [] { return caller_of_the_crash(0x28); });
  EXPECT_EQ(died.signal(), SIGSEGV);
  EXPECT_EQ(died.fault_address(), 0x28u);
  EXPECT_EQ(position_of(died, "crash_by_writing"), 0) << text_of_report(died);
  EXPECT_TRUE(died.peak_memory().has_value());
}

TEST(CrashReport, TellsTheMemory) {
  constexpr std::size_t much = 256u << 20;
  auto const use = [](std::size_t bytes) {
    std::vector<char> memory(bytes, 'x');
    return memory[bytes / 2] == 'x';
  };
  // Of a crash by the worker's own word; of SIGKILL by the system's, of what is more than the
  // program has had.
  rusage own{};
  ::getrusage(RUSAGE_SELF, &own);
  std::size_t const more = static_cast<std::size_t>(own.ru_maxrss) * 1024 + much;
  for (auto const start : {procpool::Start::spawn, procpool::Start::forkserver}) {
    procpool::ProcessPool pool{{.workers = 1, .start = {.method = start}}};
    for (int const signal : {SIGABRT, SIGKILL}) {
      std::size_t const bytes = signal == SIGABRT ? much : more;
      auto future = pool.submit(procpool::by_value([signal, use](std::size_t size) {
                                  return use(size) ? ::raise(signal) : 0;
                                }),
                                bytes);
      auto const died = support::thrown_by<WorkerDied>([&] { future.get(); });
      SCOPED_TRACE(text_of_report(died));
      ASSERT_TRUE(died.peak_memory().has_value());
      EXPECT_GE(*died.peak_memory(), bytes);
      EXPECT_LT(*died.peak_memory(), bytes + (support::sanitized ? 8 * much : 2 * much));
    }
  }
}

TEST(CrashReport, ShowsTheLastLinesOfItsOutput) {
  procpool::PoolOptions options;
  options.workers = 1;
  options.output.mode = procpool::Output::capture;
  procpool::ProcessPool pool{options};
  auto future = pool.submit([] {
    for (int i = 0; i < 1000; ++i) std::cout << "line " << i << '\n';
    std::cout.flush();
    return caller_of_the_crash(0x18);
  });
  future.wait();
  // All of it is still there.
  EXPECT_TRUE(future.output().starts_with("line 0\n"));
  auto const died = support::thrown_by<WorkerDied>([&] { future.get(); });
  EXPECT_TRUE(died.output().ends_with("line 998\nline 999")) << died.output();
  EXPECT_TRUE(died.output().starts_with("line 980\n")) << died.output();
  EXPECT_NE(text_of_report(died).find("\n  | line 999"), std::string::npos);
}

TEST(CrashReport, IsNoneOfWhatWasKilledOrLeft) {
  auto const killed = death_of([] { return ::raise(SIGKILL); });
  EXPECT_TRUE(killed.stack().empty());
  EXPECT_FALSE(killed.fault_address().has_value());
  auto const left = death_of([] { ::_exit(3); });
  EXPECT_TRUE(left.stack().empty());
  EXPECT_EQ(left.exit_status(), 3);
}

// A task's own handler wins, and what it makes of the signal is what happens.
TEST(CrashReport, LeavesHandlersOfTasksAlone) {
  auto const left = death_of([] {
    ::signal(SIGSEGV, [](int) { ::_exit(9); });
    return caller_of_the_crash(0x18);
  });
  EXPECT_EQ(left.exit_status(), 9);
  auto const died = death_of([] {
    ::signal(SIGSEGV, SIG_DFL);
    return caller_of_the_crash(0x18);
  });
  EXPECT_EQ(died.signal(), SIGSEGV);
  EXPECT_TRUE(died.stack().empty());
}

// A task's handler may pass on to the one that was there before, ours.
TEST(CrashReport, IsWrittenForWhoPassesTheSignalOn) {
  auto const died = death_of([] {
    static struct sigaction before;
    struct sigaction own{};
    own.sa_flags = SA_SIGINFO | SA_NODEFER;
    own.sa_sigaction = [](int signal, siginfo_t* info, void* context) {
      before.sa_sigaction(signal, info, context);
    };
    ::sigaction(SIGSEGV, &own, &before);
    return caller_of_the_crash(0x18);
  });
  EXPECT_EQ(died.signal(), SIGSEGV);
  EXPECT_CRASHED_IN(died, "caller_of_the_crash");
}

// A child that the task forks may crash as it likes: that is not the worker's.
TEST(CrashReport, IsNotWrittenByForkedChildren) {
  auto const died = death_of([] {
    pid_t const child = ::fork();
    if (child == 0) caller_of_the_crash(0x18);
    int status = 0;
    ::waitpid(child, &status, 0);
    // With the system's own fork nothing of ours is told of it.
    auto const raw = static_cast<pid_t>(::syscall(SYS_fork));
    if (raw == 0) caller_of_the_crash(0x18);
    int raw_status = 0;
    ::waitpid(raw, &raw_status, 0);
    // And one that shares all memory with the worker.
    int shared_status = 0;
    if (pid_t const shared = ::vfork(); shared == 0) {
      caller_of_the_crash(0x18);
      ::_exit(0);
    } else {
      ::waitpid(shared, &shared_status, 0);
    }
    bool const all = WIFSIGNALED(shared_status) && WTERMSIG(shared_status) == SIGSEGV &&
                     WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV &&
                     WIFSIGNALED(raw_status) && WTERMSIG(raw_status) == SIGSEGV;
    ::raise(all ? SIGKILL : SIGTERM);
    return 0;
  });
  EXPECT_EQ(died.signal(), SIGKILL);
  EXPECT_TRUE(died.stack().empty());
}

TEST(CrashReport, IsWrittenWithoutDescriptorsAndMemory) {
  if (support::thread_sanitized)
    GTEST_SKIP() << "the sanitizer itself ends where it gets no memory";
  auto const died = death_of([] {
    while (::dup(0) >= 0) {
    }
    rlimit const none{0, 0};
    ::setrlimit(RLIMIT_DATA, &none);
    return caller_of_the_crash(0x18);
  });
  EXPECT_EQ(died.signal(), SIGSEGV);
  EXPECT_CRASHED_IN(died, "caller_of_the_crash");
}

TEST(CrashReport, OfAnInitializerIsInItsError) {
  procpool::PoolOptions options;
  options.workers = 1;
  options.start.initializer = procpool::bound<caller_of_the_crash>(std::uintptr_t{0x18});
  options.log = [](std::string_view) {};
  procpool::ProcessPool pool{options};
  auto future = pool.submit([] { return 1; });
  auto const died = support::thrown_by<WorkerDied>([&] { future.get(); });
  EXPECT_CRASHED_IN(died, "caller_of_the_crash");
}

// The error of many threads at once is one.
TEST(CrashReport, MayBeReadByManyThreads) {
  auto const died = death_of([] { return caller_of_the_crash(0x18); });
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&right, copy = died] {
      if (support::says(copy, "crash_by_writing") && copy.stack().size() >= 2) ++right;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 8);
}
