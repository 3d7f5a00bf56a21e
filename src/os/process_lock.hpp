// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ProcessLock: a lock between processes, whose holder may die. The lock is one word in a shared
// memory file: the number of the thread that holds it, and a bit that says that others wait. A process
// has one object for each such word.
//
// Any thread of any process that maps the file may lock. A death at any point leaves either a free
// word or a word with a number. A waiter that has waited for 5 ms looks whether the thread with
// that number lives and maps the file. If not, the waiter takes the lock over. A faulty process may
// write anything into the word: a number of nobody is taken over as well. The number of a living
// thread that maps the file cannot be told from a holder.
//
// A holder that is stopped keeps the lock until it continues, or is killed.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

#include <procpool/detail/engine/sync_points.hpp>

#include "os/memfd.hpp"
#include "os/thread_id.hpp"

namespace procpool::inline v0_1::os::inline PROCPOOL_SYNC_BUILD {

enum class LockResult {
  taken,
  holder_died,  // taken as well; the previous holder may have left its work half done
  timed_out,    // not taken
};

class ProcessLock {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // `word` is zero in a new file, and nothing else uses it. It outlives this object. `file` is the
  // memory file that has the word.
  ProcessLock(std::atomic<std::uint32_t>& word, FileIdentity file) noexcept
      : word_(word), file_(file) {}
  ProcessLock(ProcessLock const&) = delete;
  ProcessLock& operator=(ProcessLock const&) = delete;

  // Waits until the deadline; without one, as long as a living thread holds the lock. A deadline
  // that has passed finds a dead holder as well. Throws std::system_error
  // (resource_deadlock_would_occur) if this thread holds the lock already.
  LockResult lock(std::optional<TimePoint> deadline = {});

  // One attempt. False if the word has any number, also that of a dead thread. Throws as lock()
  // does.
  bool try_lock();

  // By the thread that holds it. In a forked child of that thread it does nothing.
  void unlock() noexcept;

  // The thread whose number the word has now; 0: none. Any process may have written it.
  std::uint32_t holder() const noexcept;

 private:
  bool take(std::uint32_t seen, std::uint32_t number, ThreadId const& me) noexcept;
  LockResult wait(ThreadId const& me, std::optional<TimePoint> const& deadline);

  std::atomic<std::uint32_t>& word_;
  FileIdentity const file_;
  // The serial of the thread of this process that holds the lock; 0: none. It is private, so no
  // other process can make a thread believe that it holds the lock.
  std::atomic<std::uint64_t> holder_{0};
};

}  // namespace procpool::inline v0_1::os::inline PROCPOOL_SYNC_BUILD
