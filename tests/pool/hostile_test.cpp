// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Workers that write what they like into the memory that they share with the program: the program
// neither crashes nor hangs, the task that did it is told off, all others are right, the pool goes
// on.
//
// The tasks here know the layout of that memory, as a fault would find it.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <optional>
#include <procpool.hpp>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "channel/layout.hpp"
#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/gap.hpp"
#include "support/processes.hpp"
#include "support/seed.hpp"
#include "support/send.hpp"
#include "support/tasks.hpp"
#include "support/until.hpp"
#include "support/worker_memory.hpp"

using namespace std::chrono_literals;

namespace {

using procpool::channel::OutboxHeader;
using procpool::channel::OutboxKind;
using procpool::channel::OutboxWords;

using support::find_memory;
using support::Memory;

OutboxWords& words() {
  return *reinterpret_cast<OutboxWords*>(find_memory("procpool outbox").begin);
}

// A task that waits to be ended, so that the program finds exactly the bytes that it wrote.
void wait_for_the_end(std::chrono::milliseconds time = 20s) { std::this_thread::sleep_for(time); }

using tasks::square;

// Everybody else is right, and the pool goes on.
void expect_others_right(procpool::ProcessPool& pool) {
  std::vector<int> const inputs{1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_EQ(pool.with({.chunk = 1}).map<square>(inputs),
            (std::vector{1, 4, 9, 16, 25, 36, 49, 64}));
}

// The task writes nonsense and the failure is attributed to it, while others run beside and behind
// it.
template <class Task>
void expect_told_off(Task task) {
  procpool::ProcessPool pool{2};
  expect_others_right(pool);
  support::Stopwatch watch;
  auto hostile = pool.submit(task);
  std::vector<procpool::Future<int>> others;
  for (int i = 0; i < 50; ++i) others.push_back(pool.submit<square>(i));
  auto const error = support::thrown_by<procpool::BadMessage>([&] { hostile.get(); });
  EXPECT_LT(watch.passed(), 10s);
  EXPECT_FALSE(std::string(error.what()).empty());
  EXPECT_GT(error.task(), 0u);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(others[static_cast<std::size_t>(i)].get(), i * i);
  expect_others_right(pool);
  EXPECT_EQ(pool.stats().worker_deaths, 1u);
}

template <class Task>
void expect_told_off_or_dead(Task task) {
  procpool::ProcessPool pool{2};
  expect_others_right(pool);
  auto hostile = pool.submit(task);
  try {
    hostile.get();
    ADD_FAILURE() << "a value came";
  } catch (procpool::BadMessage const&) {
  } catch (procpool::WorkerDied const&) {
  }
  expect_others_right(pool);
}

// A record as a worker would write it behind what it has published, with the pretended header.
void publish(OutboxHeader header) {
  OutboxWords& out = words();
  std::byte* const ring =
      reinterpret_cast<std::byte*>(&out) + procpool::channel::outbox_control_bytes;
  std::size_t const ring_bytes =
      (find_memory("procpool outbox").size - procpool::channel::outbox_control_bytes) / 2;
  std::uint64_t const tail = out.tail.load();
  if (header.serial == 0) header.serial = out.claim.load() - 1;
  std::memcpy(ring + tail % ring_bytes, &header, sizeof header);
  out.tail.store(tail + sizeof header);
  wait_for_the_end();
}

OutboxHeader header_of(std::uint64_t size, std::uint64_t count) {
  OutboxHeader header{};
  header.kind = OutboxKind::values;
  header.size = size;
  header.count = count;
  return header;
}

int control_socket() {
  for (auto const& [number, target] : support::descriptors_of(::getpid())) {
    if (target.starts_with("socket:")) return number;
  }
  throw std::runtime_error("no control socket");
}

void send_descriptors(std::vector<int> const& descriptors) {
  std::uint64_t const word = 0;
  support::send_with(control_socket(), std::as_bytes(std::span(&word, 1)), descriptors);
}

int memory_file(std::size_t size, int seals) {
  int const fd = ::memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  static_cast<void>(!::ftruncate(fd, static_cast<off_t>(size)));
  if (seals != 0) ::fcntl(fd, F_ADD_SEALS, seals);
  return fd;
}

constexpr int proper_seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

void publish_large(std::uint64_t size) {
  OutboxHeader header = header_of(size, 1);
  header.where = procpool::channel::Where::file;
  publish(header);
}

}  // namespace

TEST(Hostile, TailBeyondTheRing) {
  expect_told_off([] {
    words().tail.store(std::uint64_t{1} << 60);
    wait_for_the_end();
  });
}

TEST(Hostile, TailBehindTheLast) {
  expect_told_off([] {
    words().tail.fetch_sub(16);
    wait_for_the_end();
  });
}

TEST(Hostile, TailThatIsNotAligned) {
  expect_told_off([] {
    words().tail.fetch_add(49);
    wait_for_the_end();
  });
}

TEST(Hostile, TailOverNoWholeHeader) {
  expect_told_off([] {
    words().tail.fetch_add(16);
    wait_for_the_end();
  });
}

TEST(Hostile, RecordOfAbsurdSize) {
  expect_told_off([] { publish(header_of(std::uint64_t{1} << 62, 1)); });
  expect_told_off([] { publish(header_of(~std::uint64_t{0}, 1)); });
  expect_told_off([] { publish(header_of(8, 1)); });
}

TEST(Hostile, RecordOfAbsurdCount) {
  expect_told_off([] { publish(header_of(0, 0)); });
  expect_told_off([] { publish(header_of(0, ~std::uint64_t{0})); });
  expect_told_off([] { publish(header_of(0, std::uint64_t{1} << 32)); });
}

TEST(Hostile, RecordOfUnknownKind) {
  expect_told_off([] {
    OutboxHeader header = header_of(0, 1);
    header.kind = static_cast<OutboxKind>(77);
    publish(header);
  });
}

TEST(Hostile, RecordForAnotherElement) {
  expect_told_off([] {
    OutboxHeader header = header_of(0, 1);
    header.serial = 1'000'000;
    publish(header);
  });
}

// Results of a wrong size, of a function whose results have a fixed one.
TEST(Hostile, ResultOfTheWrongSize) {
  expect_told_off([] {
    publish(header_of(0, 1));
    return 1;
  });
}

// An exception that is none: the worker may go on, the element has an error that can be caught.
TEST(Hostile, ExceptionThatIsNone) {
  procpool::ProcessPool pool{1};
  auto hostile = pool.submit([] {
    OutboxHeader header = header_of(0, 1);
    header.kind = OutboxKind::thrown;
    publish(header);
  });
  EXPECT_THROW(hostile.get(), procpool::BadMessage);
  pool.terminate();
}

TEST(Hostile, LargeMessageWithoutADescriptor) {
  expect_told_off([]() -> std::string {
    publish_large(100'000);
    return {};
  });
}

TEST(Hostile, LargeMessageInMemoryThatIsNotSealed) {
  expect_told_off([]() -> std::string {
    send_descriptors({memory_file(100'000, 0)});
    publish_large(100'000);
    return {};
  });
  expect_told_off([]() -> std::string {
    send_descriptors({memory_file(100'000, F_SEAL_SHRINK)});
    publish_large(100'000);
    return {};
  });
}

TEST(Hostile, LargeMessageInTooLittleMemory) {
  expect_told_off([]() -> std::string {
    send_descriptors({memory_file(1'000, proper_seals)});
    publish_large(100'000);
    return {};
  });
  expect_told_off([]() -> std::string {
    send_descriptors({memory_file(1'000, proper_seals)});
    publish_large(~std::uint64_t{0} - 10);
    return {};
  });
}

TEST(Hostile, LargeMessageInWhatIsNoMemory) {
  expect_told_off([]() -> std::string {
    send_descriptors({::open("/dev/zero", O_RDONLY)});
    publish_large(100'000);
    return {};
  });
  expect_told_off([]() -> std::string {
    send_descriptors({memory_file(100'000, proper_seals), memory_file(100'000, proper_seals)});
    publish_large(100'000);
    return {};
  });
  expect_told_off([]() -> std::string {
    send_descriptors({});
    publish_large(100'000);
    return {};
  });
}

// Properly sent, but no value: that is this element's error alone.
TEST(Hostile, LargeMessageThatIsNoValue) {
  procpool::ProcessPool pool{1};
  auto hostile = pool.submit([]() -> std::vector<std::string> {
    int const fd = memory_file(100'000, 0);
    std::string const bytes(100'000, '\xff');
    static_cast<void>(!::pwrite(fd, bytes.data(), bytes.size(), 0));
    ::fcntl(fd, F_ADD_SEALS, proper_seals);
    send_descriptors({fd});
    publish_large(100'000);
    return {};
  });
  EXPECT_THROW(hostile.get(), procpool::Error);
  pool.terminate();
}

// It claims to have read what it was not given; the next that is put for it finds that out.
TEST(Hostile, InboxCursorBeyondTheInbox) {
  procpool::ProcessPool pool{1};
  expect_others_right(pool);
  auto hostile = pool.submit([] {
    words().inbox_head.store(std::uint64_t{1} << 50);
    wait_for_the_end(1s);
  });
  std::vector<procpool::Future<int>> others;
  for (int i = 0; i < 50; ++i) others.push_back(pool.submit<square>(i));
  try {
    hostile.get();
  } catch (procpool::BadMessage const&) {
  }
  for (int i = 0; i < 50; ++i) EXPECT_EQ(others[static_cast<std::size_t>(i)].get(), i * i);
}

// Marks that cannot be true, left behind by a death.
TEST(Hostile, ClaimsThatCannotBe) {
  expect_told_off_or_dead([] {
    words().claim.store(~std::uint64_t{0});
    ::raise(SIGKILL);
  });
  expect_told_off_or_dead([] {
    words().done.store(~std::uint64_t{0});
    ::raise(SIGKILL);
  });
  expect_told_off_or_dead([] {
    words().done.store(procpool::channel::pack_done(words().claim.load() + 5, 1 << 30));
    ::raise(SIGKILL);
  });
  expect_told_off_or_dead([] {
    words().stage.store(99);
    words().exit_hint.store(99);
    ::raise(SIGKILL);
  });
}

// It says that it has begun less than it has shown to be done.
TEST(Hostile, ClaimBehindWhatIsDone) {
  procpool::ProcessPool pool{1};
  expect_others_right(pool);
  auto hostile = pool.submit([] {
    words().claim.store(0);
    ::raise(SIGKILL);
  });
  ASSERT_TRUE(hostile.wait_for(10s))
      << pool.stats().worker_starts << " workers were started for it";
  EXPECT_THROW(hostile.get(), procpool::Error);
  expect_others_right(pool);
}

// It says that it has not begun, each time that it dies. That cannot be told from a worker killed
// from outside before it began; but it is not tried for ever.
TEST(Hostile, ClaimRevokedByEachDeath) {
  procpool::ProcessPool pool{1};
  expect_others_right(pool);
  auto hostile = pool.submit([] {
    words().claim.fetch_sub(1);
    ::raise(SIGKILL);
  });
  ASSERT_TRUE(hostile.wait_for(40s))
      << pool.stats().worker_starts << " workers were started for it";
  EXPECT_THROW(hostile.get(), procpool::Error);
  expect_others_right(pool);
}

// Marks by which nothing runs, and a task that runs for ever: its deadline holds all the same.
TEST(Hostile, MarksThatHideWhatRuns) {
  auto const hide = [](int how) {
    std::uint64_t const claim = words().claim.load();
    switch (how) {
      case 0: words().claim.store(0); break;
      case 1: words().claim.store(~std::uint64_t{0}); break;
      case 2: words().done.store(procpool::channel::pack_done(claim, 0)); break;
      case 3: words().done.store(procpool::channel::pack_done(claim + 1000, 0)); break;
      default: words().claim.store(claim - 1); break;
    }
    wait_for_the_end(10min);
  };
  for (int how = 0; how < 5; ++how) {
    SCOPED_TRACE(how);
    procpool::ProcessPool pool{1};
    expect_others_right(pool);
    // Also where what it hides is behind a revocation.
    support::MadeGap const gap(
        pool, how % 2 == 0 ? support::Gap{} : support::Gap{support::Gap::By::cancel, 40 * how});
    auto hostile = pool.with({.timeout = 100ms}).submit(hide, how);
    if (!hostile.wait_for(40s)) {
      ADD_FAILURE() << "it hangs";
      pool.terminate();
      return;
    }
    try {
      hostile.get();
      EXPECT_EQ(how, 2);  // it says that it is done, and it should know
    } catch (procpool::Error const&) {
    }
    expect_others_right(pool);
  }
}

// It says that it has begun what waited behind it. No more than a block may be claimed at once, and
// of a block only the first that is not done can have begun. Nobody else may run the claimed
// elements beyond it; but it has an end.
template <int Others>
int forge_at_three(int x) {
  if (x == 3) {
    words().claim.store(words().claim.load() + Others);
    ::raise(SIGKILL);
  }
  return x;
}

template <int Others>
void expect_attributed(int last) {
  procpool::ProcessPool pool{1};
  std::vector<int> inputs(200);
  std::iota(inputs.begin(), inputs.end(), 0);
  auto const outcomes = pool.with({.chunk = 200}).outcomes().map<forge_at_three<Others>>(inputs);
  ASSERT_EQ(outcomes.size(), 200u);
  for (int i = 0; i < 200; ++i) {
    auto const& outcome = outcomes[static_cast<std::size_t>(i)];
    if (i < 3 || i > last) {
      ASSERT_TRUE(outcome.has_value()) << i << ": " << support::text_of(outcome);
      EXPECT_EQ(outcome.value(), i);
    } else {
      EXPECT_FALSE(outcome.has_value()) << i;
    }
  }
  expect_others_right(pool);
}

TEST(Hostile, ClaimOfOthers) { expect_attributed<100>(103); }
TEST(Hostile, ClaimOfABlock) { expect_attributed<4>(3); }

TEST(Hostile, RandomBytesOverEverything) {
  unsigned const seed = support::new_seed();
  auto const scribble = [](unsigned of) {
    Memory const memory = find_memory("procpool outbox");
    std::mt19937_64 random(of);
    for (std::size_t i = 0; i < memory.size; i += 8) {
      std::uint64_t const noise = random();
      std::memcpy(memory.begin + i, &noise, sizeof noise);
    }
    if (of % 3 == 0) wait_for_the_end();
    if (of % 3 == 1) ::raise(SIGKILL);
  };
  std::optional<procpool::ProcessPool> pool(2);
  for (unsigned round = 0; round < static_cast<unsigned>(support::rounds(60, 12)); ++round) {
    expect_others_right(*pool);
    auto hostile = pool->submit(scribble, seed + round);
    std::vector<procpool::Future<int>> others;
    for (int i = 0; i < 20; ++i) others.push_back(pool->submit<square>(i));
    bool went_on = false;
    try {
      hostile.get();
      went_on = true;  // and what runs later in its worker may suffer
    } catch (procpool::BadMessage const&) {
    } catch (procpool::WorkerDied const&) {
    }
    for (int i = 0; i < 20; ++i) {
      try {
        ASSERT_EQ(others[static_cast<std::size_t>(i)].get(), i * i);
      } catch (procpool::BadMessage const&) {
        ASSERT_TRUE(went_on);
      }
    }
    if (went_on) pool.emplace(2);
  }
}

// Single words, of any value, while the worker goes on: whatever it does, the program and the other
// worker do not mind. A later task in the same worker may suffer, so that worker is killed first.
TEST(Hostile, RandomWordsNowAndThen) {
  unsigned const seed = support::new_seed();
  auto const scribble = [](unsigned of) {
    Memory const memory = find_memory("procpool outbox");
    std::mt19937_64 random(of);
    for (int i = 0; i < 20; ++i) {
      std::uint64_t const noise = random() >> random() % 64;
      std::size_t const where =
          random() % 2 == 0 ? random() % 8 * 128 : random() % (memory.size / 8) * 8;
      std::memcpy(memory.begin + where, &noise, sizeof noise);
      if (random() % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 300));
    }
    return ::getpid();
  };
  procpool::ProcessPool pool{2};
  for (unsigned round = 0; round < static_cast<unsigned>(support::rounds(150, 20)); ++round) {
    auto hostile = pool.submit(scribble, seed + round);
    try {
      hostile.get();
    } catch (procpool::Error const&) {
    }
    for (pid_t const pid : support::children_of(::getpid())) ::kill(pid, SIGKILL);
    ASSERT_TRUE(support::until([&] { return pool.stats().workers == 0; }));
    expect_others_right(pool);
    if (HasFailure()) return;
  }
}

// The program's side of the memory is not the worker's to write.
TEST(Hostile, InboxCannotBeWritten) {
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call([] {
    Memory const inbox = find_memory("procpool inbox");
    return ::mprotect(inbox.begin, 4096, PROT_READ | PROT_WRITE) == 0 ? 0 : errno;
  }),
            EACCES);
  // Nor through the file behind it, should the kernel let it be opened at all.
  EXPECT_EQ(pool.call([] {
    Memory const inbox = find_memory("procpool inbox");
    std::string const path = "/proc/self/map_files/" + inbox.first_range;
    int const fd = ::open(path.c_str(), O_RDWR);
    if (fd < 0) return std::string();
    char const byte = 1;
    std::string done;
    if (::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED) {
      done += " mapped writable";
    }
    if (::pwrite(fd, &byte, 1, 0) >= 0) done += " written";
    if (::ftruncate(fd, 0) == 0) done += " cut off";
    if (::ftruncate(fd, 1 << 20) == 0) done += " grown";
    ::close(fd);
    return done;
  }),
            "");
  EXPECT_EQ(pool.call([] {
    for (auto const& [number, target] : support::descriptors_of(::getpid())) {
      if (support::is_memory_of_a_pool(target)) return target;
    }
    return std::string();
  }),
            "");
  // A write through the pointer is the writer's death.
  auto const died = support::thrown_by<procpool::WorkerDied>(
      [&] { pool.call([] { *find_memory("procpool inbox").begin = std::byte{1}; }); });
  EXPECT_EQ(died.signal(), SIGSEGV);
  expect_others_right(pool);
}

// Nor can the shared memory be shrunk under the program's feet.
TEST(Hostile, OutboxCannotBeShrunk) {
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call([] {
    std::string const path = "/proc/self/map_files/" + find_memory("procpool outbox").first_range;
    int const fd = ::open(path.c_str(), O_RDWR);
    if (fd < 0) return 0;
    int const shrunk = ::ftruncate(fd, 0) == 0;
    ::close(fd);
    return shrunk;
  }),
            0);
  expect_others_right(pool);
}

// A forked child of a worker has none of the memory: it cannot speak for the worker.
TEST(Hostile, ForkedChildHasNoRings) {
  procpool::ProcessPool pool{1};
  EXPECT_EQ(pool.call([] {
    int pipe[2];
    if (::pipe(pipe) != 0) return -1;
    if (::fork() == 0) {
      char seen = 0;
      for (std::string const& line : support::mappings_of(::getpid())) {
        if (support::is_memory_of_a_pool(line)) seen = 1;
      }
      static_cast<void>(!::write(pipe[1], &seen, 1));
      ::_exit(0);
    }
    char seen = 2;
    static_cast<void>(!::read(pipe[0], &seen, 1));
    ::close(pipe[0]);
    ::close(pipe[1]);
    return static_cast<int>(seen);
  }),
            0);
}

// Bytes on the control socket that nobody asked for, a few or as many as it holds.
TEST(Hostile, NoiseOnTheControlSocket) {
  auto const make = [](std::size_t size) { return std::string(size, 'n'); };
  for (int const noise : {1, 10, 10'000}) {
    SCOPED_TRACE("noise " + std::to_string(noise));
    procpool::ProcessPool pool{1};
    auto hostile = pool.submit(
        [](int times) {
          for (int k = 0; k < times; ++k) send_descriptors({});
          return 1;
        },
        noise);
    ASSERT_TRUE(hostile.wait_for(10s));
    try {
      EXPECT_EQ(hostile.get(), 1);
    } catch (procpool::Error const&) {
    }
    expect_others_right(pool);
    // In that worker no large result can be told from the noise, in its replacement it can.
    int right = 0;
    for (int i = 0; i < 6; ++i) {
      auto large = pool.submit(make, std::size_t{50'000});
      if (!large.wait_for(10s)) {
        ADD_FAILURE() << "a large result hangs";
        pool.terminate();
        return;
      }
      try {
        right += large.get() == std::string(50'000, 'n');
      } catch (procpool::Error const&) {
      }
    }
    EXPECT_GE(right, 5);
    expect_others_right(pool);
  }
}

// The parent's noise is the worker's to read: it takes what was meant for the channel.
TEST(Hostile, StealsLargeArguments) {
  procpool::ProcessPool pool{1};
  auto const length = [](std::string const& text) { return text.size(); };
  std::string const much(100'000, 's');
  auto thief = pool.submit([] {
    std::this_thread::sleep_for(100ms);
    std::vector<char> buffer(100'000);
    while (::recv(control_socket(), buffer.data(), buffer.size(), MSG_DONTWAIT) > 0) {
    }
    return 1;
  });
  std::vector<procpool::Future<std::size_t>> behind;
  for (int i = 0; i < 4; ++i) behind.push_back(pool.submit(length, much));
  EXPECT_EQ(thief.get(), 1);
  int right = 0;
  for (auto& future : behind) {
    if (!future.wait_for(10s)) {
      ADD_FAILURE() << "a large argument hangs";
      pool.terminate();
      return;
    }
    try {
      right += future.get() == much.size();
    } catch (procpool::Error const&) {
    }
  }
  EXPECT_GE(right, 3);
  expect_others_right(pool);
}

// It rings and rings. The program does not burn, and nobody else is held up.
TEST(Hostile, RingsWithoutEnd) {
  procpool::ProcessPool pool{2};
  auto hostile = pool.submit([] {
    int event = -1;
    for (auto const& [number, target] : support::descriptors_of(::getpid())) {
      if (target.find("eventfd") != std::string::npos) event = number;
    }
    auto const end = std::chrono::steady_clock::now() + 500ms;
    std::uint64_t const one = 1;
    while (std::chrono::steady_clock::now() < end) {
      static_cast<void>(!::write(event, &one, sizeof one));
    }
    return 5;
  });
  for (int i = 0; i < 50; ++i) EXPECT_EQ(pool.call<square>(i), i * i);
  try {
    EXPECT_EQ(hostile.get(), 5);
  } catch (procpool::Error const&) {  // or it was ended for that
  }
  expect_others_right(pool);
}
