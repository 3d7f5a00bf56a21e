// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The word, and the look at its holder. Threads and crashes: see the header.
#include "os/process_lock.hpp"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <system_error>

#include "os/futex.hpp"
#include "os/spin.hpp"

namespace procpool::inline v0_1::os::inline PROCPOOL_SYNC_BUILD {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t waiters = 1U << 31;

// A holder inside a few instructions is done by then. A sleep costs more.
constexpr std::chrono::microseconds spin_time{2};

// From then on a look (20 us) is cheap beside the wait. A waiter that dies after it was woken
// leaves the others asleep for as long at most.
constexpr std::chrono::milliseconds slice{5};

// ---- the look

template <class Number>
bool take_number(std::string_view& rest, Number& number, int base) {
  auto const end = rest.data() + rest.size();
  auto const part = std::from_chars(rest.data(), end, number, base);
  if (part.ec != std::errc{} || part.ptr == end) return false;
  rest.remove_prefix(static_cast<std::size_t>(part.ptr - rest.data()) + 1);
  return true;
}

// `line`: "begin-end rwxp offset major:minor inode   path"
bool names_file(std::string_view line, FileIdentity const& file) noexcept {
  for (int i = 0; i < 3; ++i) line.remove_prefix(std::min(line.find(' '), line.size() - 1) + 1);
  unsigned device_major = 0;
  unsigned device_minor = 0;
  ino_t inode = 0;
  return take_number(line, device_major, 16) && take_number(line, device_minor, 16) &&
         take_number(line, inode, 10) && inode == file.inode &&
         ::makedev(device_major, device_minor) == file.device;
}

enum class Maps { names_it, names_it_not, unreadable };

Maps read_maps(int fd, FileIdentity const& file) noexcept {
  std::array<char, 8 * 1024> text;
  std::size_t begun = 0;  // bytes of a line whose end was not read yet
  for (;;) {
    ssize_t const got = ::read(fd, text.data() + begun, text.size() - begun);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == ESRCH ? Maps::names_it_not : Maps::unreadable;
    // A thread that has ended has no memory, and so no line.
    if (got == 0) return Maps::names_it_not;
    std::string_view rest(text.data(), begun + static_cast<std::size_t>(got));
    for (std::size_t end = 0; (end = rest.find('\n')) != rest.npos; rest.remove_prefix(end + 1)) {
      if (names_file(rest.substr(0, end), file)) return Maps::names_it;
    }
    // Only the beginning of a line matters, and a path may be long.
    begun = std::min(rest.size(), text.size() / 2);
    std::memmove(text.data(), rest.data(), begun);
  }
}

// False if it is certain that no living thread with this number maps the file.
bool may_hold(std::uint32_t number, FileIdentity const& file) noexcept {
  if (number == 0) return false;
  auto const thread = static_cast<pid_t>(number);
  std::array<char, 32> path{};
  std::snprintf(path.data(), path.size(), "/proc/%d/maps", static_cast<int>(thread));
  UniqueFd const maps(::open(path.data(), O_RDONLY | O_CLOEXEC));
  Maps const read = maps               ? read_maps(maps.get(), file)
                    : (errno == ESRCH) ? Maps::names_it_not
                                       : Maps::unreadable;
  if (read != Maps::unreadable) return read == Maps::names_it;
  // There is no such file (no thread, no /proc, or a hidden one), it may not be read (a process
  // that guards its memory), or this process has no descriptor left. In doubt the holder lives.
  return ::kill(thread, 0) == 0 || errno != ESRCH;
}

}  // namespace

// ---- the word

// Acquire: whatever the previous holder did under the lock is visible now. Of a dead holder that
// holds as well, since it ended before the look.
bool ProcessLock::take(std::uint32_t seen, std::uint32_t number, ThreadId const& me) noexcept {
  if (!word_.compare_exchange_strong(seen, number, std::memory_order_acquire,
                                     std::memory_order_relaxed)) {
    return false;
  }
  // Relaxed: only this thread looks for its own serial.
  holder_.store(me.serial, std::memory_order_relaxed);
  PROCPOOL_SYNC_POINT(lock_taken);
  return true;
}

bool ProcessLock::try_lock() {
  ThreadId const& me = this_thread_id();
  if (holder_.load(std::memory_order_relaxed) == me.serial) {
    throw_error(EDEADLK, "procpool: this thread holds the lock already");
  }
  return take(0, me.number, me);
}

LockResult ProcessLock::lock(std::optional<TimePoint> deadline) {
  if (try_lock()) return LockResult::taken;
  return wait(this_thread_id(), deadline);
}

LockResult ProcessLock::wait(ThreadId const& me, std::optional<TimePoint> const& deadline) {
  bool taken = false;
  spin_until(spin_time, 1, [&] {
    // Relaxed: take() acquires.
    std::uint32_t const seen = word_.load(std::memory_order_relaxed);
    taken = seen == 0 && take(0, me.number, me);
    return taken || (seen & ~waiters) == me.number;
  });
  if (taken) return LockResult::taken;

  std::uint32_t watched = 0;
  TimePoint next_look{};
  for (;;) {
    std::uint32_t seen = word_.load(std::memory_order_relaxed);
    if (seen == 0) {
      // Others may sleep.
      if (take(0, me.number | waiters, me)) return LockResult::taken;
      continue;
    }
    if ((seen & ~waiters) == me.number) {
      // This thread does not hold the lock. An earlier thread of this number died with it.
      if (take(seen, me.number | waiters, me)) return LockResult::holder_died;
      continue;
    }
    if ((seen & waiters) == 0) {
      // Relaxed: the word carries the data only from unlock() to take().
      if (!word_.compare_exchange_strong(seen, seen | waiters, std::memory_order_relaxed)) continue;
      seen |= waiters;
      PROCPOOL_SYNC_POINT(lock_awaited);
    }
    TimePoint const now = Clock::now();
    bool const over = deadline && now >= *deadline;
    if (seen != watched) {
      watched = seen;
      next_look = now + slice;
    }
    if (over || now >= next_look) {
      if (!may_hold(seen & ~waiters, file_)) {
        PROCPOOL_SYNC_POINT(lock_holder_missed);
        // Another waiter may have been faster.
        if (take(seen, me.number | waiters, me)) return LockResult::holder_died;
        continue;
      }
      if (over) return LockResult::timed_out;
      next_look = Clock::now() + slice;
    }
    PROCPOOL_SYNC_POINT(lock_falling_asleep);
    futex_wait(word_, seen, FutexScope::shared,
               deadline ? std::min(*deadline, next_look) : next_look);
    PROCPOOL_SYNC_POINT(lock_woken);
  }
}

void ProcessLock::unlock() noexcept {
  ThreadId const& me = this_thread_id();
  if (holder_.load(std::memory_order_relaxed) != me.serial) return;
  holder_.store(0, std::memory_order_relaxed);
  // Release: see take(). A word with another number was written by a faulty process, and is not
  // this thread's any more.
  std::uint32_t seen = me.number;
  if (word_.compare_exchange_strong(seen, 0, std::memory_order_release,
                                    std::memory_order_relaxed)) {
    PROCPOOL_SYNC_POINT(lock_released);
    return;
  }
  if (seen != (me.number | waiters)) return;
  if (!word_.compare_exchange_strong(seen, 0, std::memory_order_release,
                                     std::memory_order_relaxed)) {
    return;
  }
  PROCPOOL_SYNC_POINT(lock_released);
  futex_wake(word_, 1, FutexScope::shared);
  PROCPOOL_SYNC_POINT(lock_waiter_woken);
}

std::uint32_t ProcessLock::holder() const noexcept {
  return word_.load(std::memory_order_relaxed) & ~waiters;
}

}  // namespace procpool::inline v0_1::os::inline PROCPOOL_SYNC_BUILD
