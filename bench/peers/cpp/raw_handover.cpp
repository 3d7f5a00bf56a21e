// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The machine's limit for a task there and back: a word in shared memory that two processes hand to
// each other, spinning, and with a futex. Each is bound to a core of its own: left alone they may
// share one, where spinning takes a time slice and a futex needs no wake-up of a core.

#include <sched.h>

#include "peers/cpp/shared_memory.hpp"
#include "support/processes.hpp"
#include "support/program.hpp"
#include "support/shapes.hpp"

namespace bench {
namespace {

struct Words {
  alignas(128) std::atomic<std::uint32_t> there{0};
  pid_t maker = 0;
  alignas(128) std::atomic<std::uint32_t> back{0};
};

struct Spinning {
  static void send(std::atomic<std::uint32_t>& word, std::uint32_t number) {
    word.store(number, std::memory_order_release);
  }
  static void await(std::atomic<std::uint32_t>& word, std::uint32_t number) {
    while (word.load(std::memory_order_acquire) != number) relax();
  }
};

struct Sleeping {
  static void send(std::atomic<std::uint32_t>& word, std::uint32_t number) {
    word.store(number);
    futex_wake(word);
  }
  static void await(std::atomic<std::uint32_t>& word, std::uint32_t number) {
    for (std::uint32_t seen; (seen = word.load()) != number;) futex_wait(word, seen);
  }
};

// Binds this process to the first usable core, or to the last.
void bind_to(bool last) {
  cpu_set_t usable;
  if (sched_getaffinity(0, sizeof usable, &usable) != 0) return;
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &usable)) continue;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (!last) break;
  }
  sched_setaffinity(0, sizeof one, &one);
}

template <class Way>
class Partner {
 public:
  Partner() { bind_to(false); }
  pid_t call() {
    ++number_;
    Way::send(words_->there, number_);
    Way::await(words_->back, number_);
    return words_->maker;
  }

 private:
  Shared<Words> words_;
  std::uint32_t number_ = 0;
  Child child_{[this] {
    bind_to(true);
    words_->maker = getpid();
    for (std::uint32_t number = 1;; ++number) {
      Way::await(words_->there, number);
      Way::send(words_->back, number);
    }
  }};
};

template <class Way>
void hot(Measure const& measure) {
  Partner<Way> partner;
  Witness witness;
  measure_roundtrip(measure, [&] { witness.saw(partner.call()); });
}

Add const spin_hot("roundtrip_hot", "raw spin", "us", hot<Spinning>);
Add const futex_hot("roundtrip_hot", "raw futex", "us", hot<Sleeping>);

Add const futex_parked("roundtrip_parked", "raw futex", "us", [](Measure const& measure) {
  Partner<Sleeping> partner;
  Witness witness;
  measure_parked(measure, [&] { witness.saw(partner.call()); });
});

Add const futex_busy("busy_roundtrip", "raw futex", "us", [](Measure const& measure) {
  BusyCores const others;
  hot<Sleeping>(measure);
});

}  // namespace
}  // namespace bench
