// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Chaos: a thread that does to the workers of one pool what the world may do to them, at random:
// SIGKILL, SIGSTOP and a later SIGCONT, and the same to the fork server that forks them. It finds
// them by the pool's name in the process list, whoever's children they are, and signals through
// pidfds: never anybody else.

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <ostream>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "build.hpp"
#include "processes.hpp"

namespace support {

// A name that no other pool of the machine has.
inline std::string chaos_name() { return "torture-" + std::to_string(::getpid()); }

class Chaos {
 public:
  struct Kinds {
    bool kills = true;
    bool stops = false;
    bool fork_servers = false;  // these are killed and stopped too
    int slower = 1;             // so many times, than every 20 to 50 ms
  };
  struct Damage {
    std::uint64_t kills = 0;
    std::uint64_t stops = 0;
    std::uint64_t fork_server_kills = 0;
    std::uint64_t fork_server_stops = 0;
  };

  Chaos(std::string const& pool, std::uint64_t seed, Kinds kinds)
      : mark_("[" + pool + "/"),
        kinds_(kinds),
        random_(static_cast<unsigned>(seed)),
        thread_([this] { run(); }) {}
  explicit Chaos(std::uint64_t seed) : Chaos(chaos_name(), seed, {}) {}
  ~Chaos() { stop(); }

  // Leaves everybody alone, while it is so: for what takes longer here than workers live.
  void rest(bool on) { resting_.store(on, std::memory_order_relaxed); }

  // After it nobody is killed any more, and nobody is left stopped.
  Damage const& stop() {
    over_.store(true, std::memory_order_relaxed);
    if (thread_.joinable()) thread_.join();
    return damage_;
  }

 private:
  using Clock = std::chrono::steady_clock;

  struct Victim {
    int pidfd = -1;
    bool is_fork_server = false;
  };
  struct Stopped {
    int pidfd = -1;
    Clock::time_point until;
  };

  int between(int least, int most) { return std::uniform_int_distribution(least, most)(random_); }

  // One of them, or none. The name is looked at when the pidfd is there: a number may have passed
  // on.
  Victim pick(bool is_fork_server) {
    std::vector<pid_t> found;
    for (pid_t const pid : numbers_in("/proc")) {
      if (fits(pid, is_fork_server)) found.push_back(pid);
    }
    if (found.empty()) return {};
    pid_t const chosen = found[random_() % found.size()];
    // Who has not begun is mostly spared: where a start takes long, many of those in a row would be the
    // pool's end.
    if (!is_fork_server && !maps(chosen, "procpool outbox") && between(1, 4) != 1) return {};
    int const pidfd = static_cast<int>(::syscall(SYS_pidfd_open, chosen, 0));
    if (pidfd < 0 || fits(chosen, is_fork_server)) return {pidfd, is_fork_server};
    ::close(pidfd);
    return {};
  }

  bool fits(pid_t pid, bool is_fork_server) const {
    std::string const line = read_text(proc(pid, "cmdline"));
    return line.find(mark_) != std::string::npos &&
           (line.find("/forkserver]") != std::string::npos) == is_fork_server;
  }

  static bool send(int pidfd, int signal) {
    return ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0;
  }

  // Ten times more rarely where it takes ten times as long to start a worker.
  void run() {
    int const slower = std::max(kinds_.slower, sanitized ? 10 : 1);
    while (!over_.load(std::memory_order_relaxed)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(between(20, 50) * slower));
      go_on(Clock::now());
      if (resting_.load(std::memory_order_relaxed)) continue;
      bool const a_fork_server = kinds_.fork_servers && between(1, 8) == 1;
      bool const stops = kinds_.stops && (!kinds_.kills || between(1, 3) == 1);
      Victim const victim = pick(a_fork_server);
      if (victim.pidfd < 0) continue;
      if (stops) {
        (a_fork_server ? damage_.fork_server_stops : damage_.stops) += send(victim.pidfd, SIGSTOP);
        stopped_.push_back(
            {victim.pidfd, Clock::now() + std::chrono::milliseconds(between(1, 200) * slower)});
      } else {
        (a_fork_server ? damage_.fork_server_kills : damage_.kills) += send(victim.pidfd, SIGKILL);
        ::close(victim.pidfd);
      }
    }
    go_on(Clock::time_point::max());
  }

  void go_on(Clock::time_point now) {
    std::erase_if(stopped_, [now](Stopped const& stopped) {
      if (stopped.until > now) return false;
      send(stopped.pidfd, SIGCONT);
      ::close(stopped.pidfd);
      return true;
    });
  }

  std::string const mark_;
  Kinds const kinds_;
  std::mt19937 random_;
  std::vector<Stopped> stopped_;
  Damage damage_;
  std::atomic<bool> resting_{false};
  std::atomic<bool> over_{false};
  std::thread thread_;
};

inline Chaos::Damage& operator+=(Chaos::Damage& sum, Chaos::Damage const& more) {
  sum.kills += more.kills;
  sum.stops += more.stops;
  sum.fork_server_kills += more.fork_server_kills;
  sum.fork_server_stops += more.fork_server_stops;
  return sum;
}

inline std::ostream& operator<<(std::ostream& out, Chaos::Damage const& damage) {
  return out << damage.kills << " kills, " << damage.stops << " stops, " << damage.fork_server_kills
             << " template kills, " << damage.fork_server_stops << " template stops";
}

}  // namespace support
