// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Unnamed shared memory, futexes and forked children for the peers that are written by hand. A
// child dies with its parent.

#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <stdexcept>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace bench {

inline void relax() noexcept {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

inline void* map_shared(std::size_t bytes) {
  void* place = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (place == MAP_FAILED) throw std::runtime_error("no shared memory");
  return place;
}

// A T in shared memory.
template <class T>
class Shared {
 public:
  Shared() : value_(new(map_shared(sizeof(T))) T) {}
  Shared(Shared const&) = delete;
  Shared& operator=(Shared const&) = delete;
  ~Shared() { munmap(static_cast<void*>(value_), sizeof(T)); }
  T* operator->() const noexcept { return value_; }
  T& operator*() const noexcept { return *value_; }

 private:
  T* value_;
};

inline void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t while_it_is) {
  syscall(SYS_futex, &word, FUTEX_WAIT, while_it_is, nullptr, nullptr, 0);
}
inline void futex_wake(std::atomic<std::uint32_t>& word, int waiters = 1) {
  syscall(SYS_futex, &word, FUTEX_WAKE, waiters, nullptr, nullptr, 0);
}

// A sleeper's word: 1 when asleep or about to be. The waker clears it, so no wake-up is lost.
struct alignas(128) Doorbell {
  std::atomic<std::uint32_t> word{0};

  void ring() {
    if (word.load() != 0 && word.exchange(0) != 0) futex_wake(word);
  }
  template <class Ready>
  void wait(Ready ready) {
    for (;;) {
      word.store(1);
      if (ready()) {
        word.store(0);
        return;
      }
      futex_wait(word, 1);
      if (ready()) return;
    }
  }
};

// A forked process that runs a function and is killed at the end.
class Child {
 public:
  template <class F>
  explicit Child(F run) {
    auto const parent = getpid();
    pid_ = fork();
    if (pid_ < 0) throw std::runtime_error("fork failed");
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() == parent) run();
      _exit(0);
    }
  }
  Child(Child&& other) noexcept : pid_(other.pid_) { other.pid_ = 0; }
  Child& operator=(Child&&) = delete;
  ~Child() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
  }

 private:
  pid_t pid_ = 0;
};

}  // namespace bench
